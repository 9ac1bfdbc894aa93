/* Steps of the optimizers that look at a weight as a whole, over the span of one weight: the inputs called *_in are the
   outputs of that name. */
#ifndef NNCORE_LAYERWISE_H
#define NNCORE_LAYERWISE_H

#include <math.h>

#include "loops.h"
#include "optim.h"

/* m += (g - m)(1 - beta_1); v += (g² - v)(1 - beta_2); u = rates[1] m / (sqrt(rates[2] v) + epsilon) */
KERNEL(op_lamb)
{
    const vec rest_1 = vec_set1((real)(1 - instr->attribute[0])), rest_2 = vec_set1((real)(1 - instr->attribute[1]));
    const vec epsilon = vec_set1((real)instr->attribute[2]);
    const vec of_m = vec_set1((real)step->rates[1]), of_v = vec_set1((real)step->rates[2]);
    real *m = instr->operand[0], *v = instr->operand[1], *u = instr->operand[2];
    const real *g = instr->operand[5];
    EACH_VEC(instr->dim[0], {
        const vec slope = LOAD(g), m_old = LOAD(m), v_old = LOAD(v);
        const vec m_new = vec_add(m_old, vec_mul(vec_sub(slope, m_old), rest_1));
        const vec v_new = vec_add(v_old, vec_mul(vec_sub(vec_mul(slope, slope), v_old), rest_2));
        STORE(m, m_new);
        STORE(v, v_new);
        STORE(u, vec_div(vec_mul(m_new, of_m), vec_add(vec_sqrt(vec_mul(v_new, of_v)), epsilon)));
    });
}

/* w -= scale u, over the weight and its update that the operands 0 and 2 are */
#define WALK(scale)                                                                                                    \
    const vec scale_ = vec_set1(scale);                                                                                \
    real *w = instr->operand[0];                                                                                       \
    const real *u = instr->operand[2];                                                                                 \
    EACH_VEC(instr->dim[0], STORE(w, vec_sub(LOAD(w), vec_mul(scale_, LOAD(u)))))

/* w -= (rate w_norm / u_norm) u, or rate u where either norm is not above 0 */
KERNEL(op_lamb_step)
{
    const real rate = (real)step->rates[0];
    const real w_norm = *(const real *)instr->operand[3], u_norm = *(const real *)instr->operand[4];
    WALK(w_norm > 0 && u_norm > 0 ? rate * (w_norm / u_norm) : rate);
}

/* r[l,a] = p r + (1 - p) mean_b(g[l,a,b]² + epsilon), p = rates[1] */
KERNEL(op_row_squares)
{
    const real p = (real)step->rates[1], rest = (real)(1 - step->rates[1]);
    const vec epsilon = vec_set1((real)instr->attribute[0]);
    const int64_t n = instr->dim[2];
    const row shape = row_of(n);
    const real *g = instr->operand[1];
    real *out = instr->operand[0];
    EACH_ROW(instr->dim[0] * instr->dim[1], {
        vec sum[WIDE];
        wide_set(sum, vec_zero());
        EACH_IN_ROW(shape, {
            const vec v = LOAD(g + r * n);
            sum[w] = vec_add(sum[w], KEEP(vec_add(vec_mul(v, v), epsilon), vec_zero()));
        });
        out[r] = p * out[r] + rest * (wide_sum(sum) / (real)n);
    });
}

/* c[l,b] = p c + (1 - p) mean_a(g[l,a,b]² + epsilon), summed in the order of a, p = rates[1] */
KERNEL(op_column_squares)
{
    const vec p = vec_set1((real)step->rates[1]), rest = vec_set1((real)(1 - step->rates[1]));
    const vec epsilon = vec_set1((real)instr->attribute[0]), rows = vec_set1((real)instr->dim[1]);
    const int64_t matrices = instr->dim[0], m = instr->dim[1], n = instr->dim[2];
    const real *g = instr->operand[1];
    real *c = instr->operand[0];
    for (int64_t l = 0; l < matrices; l++, g += m * n, c += n)
        EACH_VEC(n, {
            vec sum = vec_zero();
            for (int64_t a = 0; a < m; a++) {
                const vec v = LOAD(g + a * n);
                sum = vec_add(sum, vec_add(vec_mul(v, v), epsilon));
            }
            STORE(c, vec_mean(LOAD(c), p, vec_div(sum, rows), rest));
        });
}

/* v[l,a,b] = r[l,a] / mean_a(r[l,a]) c[l,b]; u = g / sqrt(v) */
KERNEL(op_factored)
{
    const int64_t m = instr->dim[1], n = instr->dim[2];
    const row shape = row_of(n), column = row_of(m);
    real *v = instr->operand[0], *u = instr->operand[1], mean = 0;
    const real *g = instr->operand[2], *all = instr->operand[3], *c = instr->operand[4];
    int64_t known = -1;
    EACH_ROW(instr->dim[0] * m, {
        const int64_t l = r / m;
        if (l != known) {
            vec sum[WIDE];
            wide_set(sum, vec_zero());
            EACH_IN_ROW(column, sum[w] = vec_add(sum[w], LOAD(all + l * m)));
            mean = wide_sum(sum) / (real)m;
            known = l;
        }
        const vec share = vec_set1(all[r] / mean);
        EACH_IN_ROW(shape, {
            const vec v_new = vec_mul(share, LOAD(c + l * n));
            STORE(v + r * n, v_new);
            STORE(u + r * n, vec_div(LOAD(g + r * n), vec_sqrt(v_new)));
        });
    });
}

/* v = p v + (1 - p)(g² + epsilon), p = rates[1]; u = g / sqrt(v) */
KERNEL(op_unfactored)
{
    const vec p = vec_set1((real)step->rates[1]), rest = vec_set1((real)(1 - step->rates[1]));
    const vec epsilon = vec_set1((real)instr->attribute[0]);
    real *v = instr->operand[0], *u = instr->operand[1];
    const real *g = instr->operand[3];
    EACH_VEC(instr->dim[0], {
        const vec slope = LOAD(g), v_new = vec_mean(LOAD(v), p, vec_add(vec_mul(slope, slope), epsilon), rest);
        STORE(v, v_new);
        STORE(u, vec_div(slope, vec_sqrt(v_new)));
    });
}

/* The larger, or x where it is NaN */
INLINE real at_least(real x, real least) { return x <= least ? least : x; }

/* w -= rate max(epsilon, rms(w)) u / max(1, rms(u) / threshold), the root mean squares from the norms */
KERNEL(op_adafactor_step)
{
    const real epsilon = (real)instr->attribute[0], threshold = (real)instr->attribute[1];
    const real w_norm = *(const real *)instr->operand[3], u_norm = *(const real *)instr->operand[4];
    const real root = (real)sqrt((real)instr->dim[0]);
    const real scale = (real)step->rates[0] * at_least(w_norm / root, epsilon);
    WALK(scale / at_least(u_norm / root / threshold, 1));
}

/* m = momentum m + g; u = m, or momentum m + g with the new m where nesterov */
KERNEL(op_muon_momentum)
{
    const vec momentum = vec_set1((real)instr->attribute[0]);
    const int nesterov = instr->attribute[1] != 0;
    real *m = instr->operand[0], *u = instr->operand[1];
    const real *g = instr->operand[3];
    EACH_VEC(instr->dim[0], {
        const vec slope = LOAD(g), speed = vec_add(vec_mul(LOAD(m), momentum), slope);
        STORE(m, speed);
        STORE(u, nesterov ? vec_add(vec_mul(speed, momentum), slope) : speed);
    });
}

/* y = x / (norm + epsilon). y may be x. */
KERNEL(op_normalized)
{
    const vec norm = vec_set1(*(const real *)instr->operand[2] + (real)instr->attribute[0]);
    real *y = instr->operand[0];
    const real *x = instr->operand[1];
    EACH_VEC(instr->dim[0], STORE(y, vec_div(LOAD(x), norm)));
}

/* y = alpha a + beta b. y may be a or b. */
KERNEL(op_weighted_sum)
{
    const vec alpha = vec_set1((real)instr->attribute[0]), beta = vec_set1((real)instr->attribute[1]);
    real *y = instr->operand[0];
    const real *a = instr->operand[1], *b = instr->operand[2];
    EACH_VEC(instr->dim[0], STORE(y, vec_add(vec_mul(alpha, LOAD(a)), vec_mul(beta, LOAD(b)))));
}

/* w -= (scale rates[1]) u */
KERNEL(op_muon_step) { WALK((real)(instr->attribute[0] * step->rates[1])); }

#endif
