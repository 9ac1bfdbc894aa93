/* AVX2 and FMA. */
#define VEC_AVX2
#include "../kernels/all.h"

const nn_table nn_table_avx2 = {
    .isa = "avx2",
    .lanes = LANES,
    .kernel = {
#define OP(name) [NN_##name] = name,
#include "../ops.def"
#undef OP
    },
    .fma_probe = fma_probe,
    .read_probe = read_probe,
};
