/* Optimizer steps over a flat vector of p parameters, in place: the inputs called *_in are the outputs of that name. */
#ifndef NNCORE_OPTIM_H
#define NNCORE_OPTIM_H

#include "loops.h"
#include "math.h"

/* w -= rate g */
KERNEL(op_sgd)
{
    const vec rate = vec_set1((real)step->rates[0]);
    real *w = instr->operand[0];
    const real *g = instr->operand[2];
    EACH_VEC(instr->dim[0], STORE(w, vec_sub(LOAD(w), vec_mul(rate, LOAD(g)))));
}

/* v = momentum v - rate g; w += v, or momentum v - rate g with the new v where nesterov */
KERNEL(op_sgd_momentum)
{
    const vec momentum = vec_set1((real)instr->attribute[0]), rate = vec_set1((real)step->rates[0]);
    const int nesterov = instr->attribute[1] != 0;
    real *w = instr->operand[0], *v = instr->operand[1];
    const real *g = instr->operand[4];
    EACH_VEC(instr->dim[0], {
        const vec pull = vec_mul(rate, LOAD(g)), speed = vec_sub(vec_mul(momentum, LOAD(v)), pull);
        STORE(v, speed);
        STORE(w, vec_add(LOAD(w), nesterov ? vec_sub(vec_mul(momentum, speed), pull) : speed));
    });
}

/* m += (g - m)(1 - beta_1); v += (g² - v)(1 - beta_2); w -= m rate / (sqrt(v) + epsilon) */
KERNEL(op_adam)
{
    const vec rest_1 = vec_set1((real)(1 - instr->attribute[0])), rest_2 = vec_set1((real)(1 - instr->attribute[1]));
    const vec epsilon = vec_set1((real)instr->attribute[2]), rate = vec_set1((real)step->rates[0]);
    real *w = instr->operand[0], *m = instr->operand[1], *v = instr->operand[2];
    const real *g = instr->operand[6];
    EACH_VEC(instr->dim[0], {
        const vec slope = LOAD(g), m_old = LOAD(m), v_old = LOAD(v);
        const vec m_new = vec_add(m_old, vec_mul(vec_sub(slope, m_old), rest_1));
        const vec v_new = vec_add(v_old, vec_mul(vec_sub(vec_mul(slope, slope), v_old), rest_2));
        STORE(m, m_new);
        STORE(v, v_new);
        STORE(w, vec_sub(LOAD(w), vec_div(vec_mul(m_new, rate), vec_add(vec_sqrt(v_new), epsilon))));
    });
}

/* adam with top = max(top, v) in v's place in the quotient */
KERNEL(op_adam_amsgrad)
{
    const vec rest_1 = vec_set1((real)(1 - instr->attribute[0])), rest_2 = vec_set1((real)(1 - instr->attribute[1]));
    const vec epsilon = vec_set1((real)instr->attribute[2]), rate = vec_set1((real)step->rates[0]);
    real *w = instr->operand[0], *m = instr->operand[1], *v = instr->operand[2], *top = instr->operand[3];
    const real *g = instr->operand[8];
    EACH_VEC(instr->dim[0], {
        const vec slope = LOAD(g), m_old = LOAD(m), v_old = LOAD(v);
        const vec m_new = vec_add(m_old, vec_mul(vec_sub(slope, m_old), rest_1));
        const vec v_new = vec_add(v_old, vec_mul(vec_sub(vec_mul(slope, slope), v_old), rest_2));
        const vec highest = vec_max_or_nan(LOAD(top), v_new);
        STORE(m, m_new);
        STORE(v, v_new);
        STORE(top, highest);
        STORE(w, vec_sub(LOAD(w), vec_div(vec_mul(m_new, rate), vec_add(vec_sqrt(highest), epsilon))));
    });
}

/* m += (g - m)(1 - beta_1); u = max(beta_2 u, |g|); w -= m rate / (u + epsilon) */
KERNEL(op_adamax)
{
    const vec rest_1 = vec_set1((real)(1 - instr->attribute[0])), beta_2 = vec_set1((real)instr->attribute[1]);
    const vec epsilon = vec_set1((real)instr->attribute[2]), rate = vec_set1((real)step->rates[0]);
    real *w = instr->operand[0], *m = instr->operand[1], *u = instr->operand[2];
    const real *g = instr->operand[6];
    EACH_VEC(instr->dim[0], {
        const vec slope = LOAD(g), m_old = LOAD(m);
        const vec m_new = vec_add(m_old, vec_mul(vec_sub(slope, m_old), rest_1));
        const vec u_new = vec_max_or_nan(vec_mul(LOAD(u), beta_2), vec_abs(slope));
        STORE(m, m_new);
        STORE(u, u_new);
        STORE(w, vec_sub(LOAD(w), vec_div(vec_mul(m_new, rate), vec_add(u_new, epsilon))));
    });
}

/* m and v as in adam; w -= (rates[0] m + rates[1] g) / (sqrt(rates[2] v) + epsilon) */
KERNEL(op_nadam)
{
    const vec rest_1 = vec_set1((real)(1 - instr->attribute[0])), rest_2 = vec_set1((real)(1 - instr->attribute[1]));
    const vec epsilon = vec_set1((real)instr->attribute[2]), of_m = vec_set1((real)step->rates[0]);
    const vec of_g = vec_set1((real)step->rates[1]), of_v = vec_set1((real)step->rates[2]);
    real *w = instr->operand[0], *m = instr->operand[1], *v = instr->operand[2];
    const real *g = instr->operand[6];
    EACH_VEC(instr->dim[0], {
        const vec slope = LOAD(g), m_old = LOAD(m), v_old = LOAD(v);
        const vec m_new = vec_add(m_old, vec_mul(vec_sub(slope, m_old), rest_1));
        const vec v_new = vec_add(v_old, vec_mul(vec_sub(vec_mul(slope, slope), v_old), rest_2));
        const vec ahead = vec_add(vec_mul(of_m, m_new), vec_mul(of_g, slope));
        STORE(m, m_new);
        STORE(v, v_new);
        STORE(w, vec_sub(LOAD(w), vec_div(ahead, vec_add(vec_sqrt(vec_mul(of_v, v_new)), epsilon))));
    });
}

/* x decay + y rest: a running mean that y enters, as rest is 1 - decay */
INLINE vec vec_mean(vec x, vec decay, vec y, vec rest) { return vec_add(vec_mul(x, decay), vec_mul(rest, y)); }

/* v = rho v + (1 - rho) g²; the increment is rate g / sqrt(v + epsilon), with v - a² for v where `a` is there, the
   running mean of g; w -= the increment, or what s = momentum s + increment has become where `s` is there */
INLINE void rmsprop(const nn_instr *instr, const nn_step *step, int part, int parts, real *s, real *a, const real *g)
{
    const vec rho = vec_set1((real)instr->attribute[0]), rest = vec_set1((real)(1 - instr->attribute[0]));
    const vec epsilon = vec_set1((real)instr->attribute[1]), rate = vec_set1((real)step->rates[0]);
    const vec momentum = vec_set1((real)instr->attribute[2]);
    real *w = instr->operand[0], *v = instr->operand[1];
    EACH_VEC(instr->dim[0], {
        const vec slope = LOAD(g), v_new = vec_mean(LOAD(v), rho, vec_mul(slope, slope), rest);
        vec variance = v_new;
        STORE(v, v_new);
        if (a) {
            const vec a_new = vec_mean(LOAD(a), rho, slope, rest);
            STORE(a, a_new);
            variance = vec_sub(v_new, vec_mul(a_new, a_new));
        }
        vec increment = vec_div(vec_mul(rate, slope), vec_sqrt(vec_add(variance, epsilon)));
        if (s) {
            increment = vec_add(vec_mul(LOAD(s), momentum), increment);
            STORE(s, increment);
        }
        STORE(w, vec_sub(LOAD(w), increment));
    });
}

KERNEL(op_rmsprop) { rmsprop(instr, step, part, parts, NULL, NULL, instr->operand[4]); }

KERNEL(op_rmsprop_momentum) { rmsprop(instr, step, part, parts, instr->operand[2], NULL, instr->operand[6]); }

KERNEL(op_rmsprop_centered) { rmsprop(instr, step, part, parts, NULL, instr->operand[2], instr->operand[6]); }

KERNEL(op_rmsprop_centered_momentum)
{
    rmsprop(instr, step, part, parts, instr->operand[2], instr->operand[3], instr->operand[8]);
}

/* a += g²; w -= rate g / sqrt(a + epsilon) */
KERNEL(op_adagrad)
{
    const vec epsilon = vec_set1((real)instr->attribute[0]), rate = vec_set1((real)step->rates[0]);
    real *w = instr->operand[0], *a = instr->operand[1];
    const real *g = instr->operand[4];
    EACH_VEC(instr->dim[0], {
        const vec slope = LOAD(g), a_new = vec_add(LOAD(a), vec_mul(slope, slope));
        STORE(a, a_new);
        STORE(w, vec_sub(LOAD(w), vec_div(vec_mul(rate, slope), vec_sqrt(vec_add(a_new, epsilon)))));
    });
}

/* a = rho a + (1 - rho) g²; x = sqrt(d + epsilon) g / sqrt(a + epsilon); d = rho d + (1 - rho) x²; w -= rate x */
KERNEL(op_adadelta)
{
    const vec rho = vec_set1((real)instr->attribute[0]), rest = vec_set1((real)(1 - instr->attribute[0]));
    const vec epsilon = vec_set1((real)instr->attribute[1]), rate = vec_set1((real)step->rates[0]);
    real *w = instr->operand[0], *a = instr->operand[1], *d = instr->operand[2];
    const real *g = instr->operand[6];
    EACH_VEC(instr->dim[0], {
        const vec slope = LOAD(g), d_old = LOAD(d);
        const vec a_new = vec_mean(LOAD(a), rho, vec_mul(slope, slope), rest);
        const vec pull = vec_mul(vec_sqrt(vec_add(d_old, epsilon)), slope);
        const vec x = vec_div(pull, vec_sqrt(vec_add(a_new, epsilon)));
        STORE(a, a_new);
        STORE(d, vec_mean(d_old, rho, vec_mul(x, x), rest));
        STORE(w, vec_sub(LOAD(w), vec_mul(rate, x)));
    });
}

/* w -= rate sign(beta_1 m + (1 - beta_1) g); m = beta_2 m + (1 - beta_2) g */
KERNEL(op_lion)
{
    const vec beta_1 = vec_set1((real)instr->attribute[0]), rest_1 = vec_set1((real)(1 - instr->attribute[0]));
    const vec beta_2 = vec_set1((real)instr->attribute[1]), rest_2 = vec_set1((real)(1 - instr->attribute[1]));
    const vec rate = vec_set1((real)step->rates[0]), up = vec_set1(1), down = vec_set1(-1), zero = vec_zero();
    real *w = instr->operand[0], *m = instr->operand[1];
    const real *g = instr->operand[4];
    EACH_VEC(instr->dim[0], {
        const vec slope = LOAD(g), m_old = LOAD(m), way = vec_mean(m_old, beta_1, slope, rest_1);
        const vec sign = vec_select(vec_lt(zero, way), up, vec_select(vec_lt(way, zero), down, way));
        STORE(m, vec_mean(m_old, beta_2, slope, rest_2));
        STORE(w, vec_sub(LOAD(w), vec_mul(rate, sign)));
    });
}

/* n += g²; z += g + 2 shrinkage w - (n^power - n_in^power) / rate w; then
   w = (clip(z, -l1, l1) - z) / ((n^power + beta) / rate + 2 l2) */
KERNEL(op_ftrl)
{
    const real power = (real)instr->attribute[0];
    const vec l1 = vec_set1((real)instr->attribute[1]), l2 = vec_set1((real)(2 * instr->attribute[2]));
    const vec shrinkage = vec_set1((real)(2 * instr->attribute[3])), beta = vec_set1((real)instr->attribute[4]);
    const vec rate = vec_set1((real)step->rates[0]);
    real *w = instr->operand[0], *n = instr->operand[1], *z = instr->operand[2];
    const real *g = instr->operand[6];
    EACH_VEC(instr->dim[0], {
        const vec slope = LOAD(g), w_old = LOAD(w), n_old = LOAD(n), n_new = vec_add(n_old, vec_mul(slope, slope));
        const vec before = vec_pow(n_old, power), after = vec_pow(n_new, power);
        const vec pull = vec_add(slope, vec_mul(shrinkage, w_old));
        const vec z_new = vec_add(LOAD(z), vec_sub(pull, vec_mul(vec_div(vec_sub(after, before), rate), w_old)));
        const vec kept = vec_min(l1, vec_max(vec_neg(l1), z_new));
        STORE(n, n_new);
        STORE(z, z_new);
        STORE(w, vec_div(vec_sub(kept, z_new), vec_add(vec_div(vec_add(after, beta), rate), l2)));
    });
}

#endif
