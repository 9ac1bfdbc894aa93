/* AVX-512: F, VL, DQ and BW. */
#define VEC_AVX512
#include "../kernels/all.h"

const nn_table nn_table_avx512 = {
    .isa = "avx512",
    .lanes = LANES,
    .kernel = {
#define OP(name) [NN_##name] = name,
#include "../ops.def"
#undef OP
    },
    .fma_probe = fma_probe,
    .read_probe = read_probe,
};
