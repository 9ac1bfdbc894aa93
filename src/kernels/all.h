/* Every kernel: what a file of src/isa includes. */
#include "axes.h"
#include "data.h"
#include "elementwise.h"
#include "expressions.h"
#include "gemm.h"
#include "losses.h"
#include "metrics.h"
#include "optim.h"
#include "order.h"
#include "random.h"
#include "softmax.h"

#include "../probe.h"
