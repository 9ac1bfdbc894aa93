/* The instruction sets this file was compiled with, best first, and whether this machine runs them. */
#ifndef NNCORE_CPU_H
#define NNCORE_CPU_H

#include "nncore.h"

typedef struct {
    const nn_table *table;
    int supported;
} nn_isa;

#if NN_HAVE_AVX512 || NN_HAVE_AVX2
#include <cpuid.h>

enum {
    NN_CPU_AVX2 = 1 << 5, /* of leaf 7, EBX */
    NN_CPU_AVX512 = (int)(1u << 16 | 1u << 17 | 1u << 30 | 1u << 31), /* F, DQ, BW and VL */
    NN_CPU_FMA_AVX = 1 << 12 | 1 << 27 | 1 << 28, /* of leaf 1, ECX: FMA, xgetbv, AVX */
    NN_SAVED_AVX = 0x06, /* the registers that the system saves */
    NN_SAVED_AVX512 = 0xE6,
};

/* Whether the CPU has all `features` of leaf 7, and FMA, and the system saves the registers `saved` of a thread.
   Not by the compilers' builtin: it needs a library of theirs that clang-cl does not link. */
static inline int nn_cpu_has(int features, unsigned saved)
{
    unsigned a, b, c, d, low, high;
    if (!__get_cpuid(1, &a, &b, &c, &d) || (c & NN_CPU_FMA_AVX) != NN_CPU_FMA_AVX)
        return 0;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return (low & saved) == saved && __get_cpuid_count(7, 0, &a, &b, &c, &d) &&
           (b & (unsigned)features) == (unsigned)features;
}
#endif

/* Fills `isas` and returns how many there are. Supported means by the CPU and by the operating system. */
static inline int nn_list_isas(nn_isa isas[NN_ISAS])
{
    int n = 0;
#if NN_HAVE_AVX512
    isas[n++] = (nn_isa){&nn_table_avx512, nn_cpu_has(NN_CPU_AVX512, NN_SAVED_AVX512)};
#endif
#if NN_HAVE_AVX2
    isas[n++] = (nn_isa){&nn_table_avx2, nn_cpu_has(NN_CPU_AVX2, NN_SAVED_AVX)};
#endif
#if NN_HAVE_NEON
    isas[n++] = (nn_isa){&nn_table_neon, 1};
#endif
    isas[n++] = (nn_isa){&nn_table_baseline, 1};
    return n;
}

#endif
