/* NEON on aarch64, where every machine has it. */
#define VEC_NEON
#include "../kernels/all.h"

const nn_table nn_table_neon = {
    .isa = "neon",
    .lanes = LANES,
    .kernel = {
#define OP(name) [NN_##name] = name,
#include "../ops.def"
#undef OP
    },
    .fma_probe = fma_probe,
    .read_probe = read_probe,
};
