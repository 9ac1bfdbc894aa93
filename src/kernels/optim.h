/* Optimizer steps over a flat vector of p parameters, in place: the inputs w_in, m_in, v_in are the outputs. */
#ifndef NNCORE_OPTIM_H
#define NNCORE_OPTIM_H

#include "loops.h"

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

#endif
