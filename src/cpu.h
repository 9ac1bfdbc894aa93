/* The instruction sets this file was compiled with, best first, and whether this machine runs them. */
#ifndef NNCORE_CPU_H
#define NNCORE_CPU_H

#include "nncore.h"

typedef struct {
    const nn_table *table;
    int supported;
} nn_isa;

/* Fills `isas` and returns how many there are. Supported means by the CPU and by the operating system, which must save
   the wide registers of a thread: the compilers' builtin looks at both (cpuid and xgetbv). */
static inline int nn_list_isas(nn_isa isas[NN_ISAS])
{
    int n = 0;
#if NN_HAVE_AVX512 || NN_HAVE_AVX2
    __builtin_cpu_init();
#endif
#if NN_HAVE_AVX512
    isas[n++] = (nn_isa){&nn_table_avx512, __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
                                               __builtin_cpu_supports("avx512dq") &&
                                               __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("fma")};
#endif
#if NN_HAVE_AVX2
    isas[n++] = (nn_isa){&nn_table_avx2, __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")};
#endif
#if NN_HAVE_NEON
    isas[n++] = (nn_isa){&nn_table_neon, 1};
#endif
    isas[n++] = (nn_isa){&nn_table_baseline, 1};
    return n;
}

#endif
