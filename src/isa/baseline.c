/* What every machine of this architecture runs: SSE2 on x86-64, generic C elsewhere. */
#define VEC_BASELINE
#include "../kernels/all.h"

const nn_table nn_table_baseline = {
    .isa = "baseline",
    .lanes = LANES,
    .kernel = {
#define OP(name) [NN_##name] = name,
#include "../ops.def"
#undef OP
    },
    .fma_probe = fma_probe,
    .read_probe = read_probe,
};
