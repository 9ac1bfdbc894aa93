/* The ops of predictions in plain C, for nncore.export.c to take what a model uses. An op's operands are its outputs, its
   inputs, the extents of its letters and its attributes, in nncore.ops' order; an operand that is absent is 0. m counts
   rows. Each gives the bits of its kernel in src/kernels. What the elementwise activations compute, and exp and log, is
   taken from there. */

/* The larger and the smaller; b where either is NaN */
static inline float larger(float a, float b) { return a > b ? a : b; }

static inline float smaller(float a, float b) { return a < b ? a : b; }

/* The bits of a float, and a float of its bits */
typedef union {
    float value;
    uint32_t bits;
} float_bits;

static inline float power_of_2(int n)
{
    float_bits power;
    power.bits = (uint32_t)(n + 127) << 23;
    return power.value;
}

/* a 2^n for integral n: in two steps, since 2^n may be no float where a 2^n is one */
static inline float times_power_of_2(float a, float n)
{
    const int whole = n > -1000 && n < 1000 ? (int)n : 0, half = whole / 2; /* NaN has no integer */
    return a * power_of_2(half) * power_of_2(whole - half);
}

/* e and m of x = m 2^e, 1 <= m < 2 */
static inline float exponent_of(float x)
{
    float_bits number;
    number.value = x;
    return (float)((int)(number.bits >> 23) - 127);
}

static inline float mantissa_of(float x)
{
    float_bits number;
    number.value = x;
    number.bits = (number.bits & 0x7FFFFFu) | 0x3F800000u;
    return number.value;
}

/* The sum of 16 partial sums: i and i + 8, then i + 4, i + 2, i + 1. In a row, element j went to sum j mod 16. */
static inline float sum_of_16(float s[16])
{
    for (int half = 8; half > 0; half /= 2)
        for (int i = 0; i < half; i++)
            s[i] += s[i + half];
    return s[0];
}

static float row_sum(const float *x, int n)
{
    float s[16] = {0};
    int j = 0;
    for (; j + 16 <= n; j += 16)
        for (int i = 0; i < 16; i++)
            s[i] += x[j + i];
    for (int i = 0; j + i < n; i++)
        s[i] += x[j + i];
    return sum_of_16(s);
}

/* sum_n (x - center)^2 */
static float row_squares(const float *x, float center, int n)
{
    float s[16] = {0};
    int j = 0;
    for (; j + 16 <= n; j += 16)
        for (int i = 0; i < 16; i++)
            s[i] += (x[j + i] - center) * (x[j + i] - center);
    for (int i = 0; j + i < n; i++)
        s[i] += (x[j + i] - center) * (x[j + i] - center);
    return sum_of_16(s);
}

static float row_max(const float *x, int n)
{
    float top[16];
    int j = 0;
    for (int i = 0; i < 16; i++)
        top[i] = -INFINITY;
    for (; j + 16 <= n; j += 16)
        for (int i = 0; i < 16; i++)
            top[i] = larger(top[i], x[j + i]);
    for (int i = 0; j + i < n; i++)
        top[i] = larger(top[i], x[j + i]);
    for (int half = 8; half > 0; half /= 2)
        for (int i = 0; i < half; i++)
            top[i] = larger(top[i], top[i + half]);
    return top[0];
}

/* y[m,n] = b[n] + sum_k x[m,k] w[k,n], summed in the order b, k = 0, 1, ...: 8 steps of each sum at a time */
static void op_dense(float *restrict y, const float *restrict x, const float *restrict w, const float *restrict b,
                     int m, int k, int n)
{
    for (int r = 0; r < m; r++, x += k, y += n) {
        const float *v = w;
        int s = 0;
        for (int j = 0; j < n; j++)
            y[j] = b ? b[j] : 0.0f;
        for (; s + 8 <= k; s += 8, v += 8 * n)
            for (int j = 0; j < n; j++) {
                float sum = FMA(x[s], v[j], y[j]);
                sum = FMA(x[s + 1], v[n + j], sum);
                sum = FMA(x[s + 2], v[2 * n + j], sum);
                sum = FMA(x[s + 3], v[3 * n + j], sum);
                sum = FMA(x[s + 4], v[4 * n + j], sum);
                sum = FMA(x[s + 5], v[5 * n + j], sum);
                sum = FMA(x[s + 6], v[6 * n + j], sum);
                y[j] = FMA(x[s + 7], v[7 * n + j], sum);
            }
        for (; s < k; s++, v += n)
            for (int j = 0; j < n; j++)
                y[j] = FMA(x[s], v[j], y[j]);
    }
}

/* y = x scale + offset, rounded twice */
static void op_scale_shift(float *y, const float *x, int m, float scale, float offset)
{
    for (int i = 0; i < m; i++)
        y[i] = x[i] * scale + offset;
}

static void op_add(float *y, const float *a, const float *b, int m)
{
    for (int i = 0; i < m; i++)
        y[i] = a[i] + b[i];
}

static void op_subtract(float *y, const float *a, const float *b, int m)
{
    for (int i = 0; i < m; i++)
        y[i] = a[i] - b[i];
}

static void op_multiply(float *y, const float *a, const float *b, int m)
{
    for (int i = 0; i < m; i++)
        y[i] = a[i] * b[i];
}

static void op_divide(float *y, const float *a, const float *b, int m)
{
    for (int i = 0; i < m; i++)
        y[i] = a[i] / b[i];
}

static void op_quotient_of(float *y, const float *x, int m, float numerator)
{
    for (int i = 0; i < m; i++)
        y[i] = numerator / x[i];
}

/* y = min(max(x, low), high); NaN stays NaN */
static void op_clip(float *y, const float *x, int m, float low, float high)
{
    for (int i = 0; i < m; i++)
        y[i] = smaller(high, larger(low, x[i]));
}

/* NaN where either is */
static void op_maximum(float *y, const float *a, const float *b, int m)
{
    for (int i = 0; i < m; i++)
        y[i] = a[i] == a[i] ? larger(a[i], b[i]) : a[i];
}

static void op_minimum(float *y, const float *a, const float *b, int m)
{
    for (int i = 0; i < m; i++)
        y[i] = a[i] == a[i] ? smaller(a[i], b[i]) : a[i];
}

/* y = d where a > b, or a = b and or_equal; else 0 */
static void op_where_larger(float *y, const float *d, const float *a, const float *b, int m, float or_equal)
{
    for (int i = 0; i < m; i++)
        y[i] = a[i] > b[i] || (a[i] == b[i] && or_equal != 0.0f) ? d[i] : 0.0f;
}

static void op_sqrt(float *y, const float *x, int m)
{
    for (int i = 0; i < m; i++)
        y[i] = sqrtf(x[i]);
}

static void op_log(float *y, const float *x, int m)
{
    for (int i = 0; i < m; i++)
        y[i] = nn_log(x[i]);
}

static void op_absolute(float *y, const float *x, int m)
{
    for (int i = 0; i < m; i++)
        y[i] = fabsf(x[i]);
}

/* y[m,n] = x[m,n] + b[n] */
static void op_row_add(float *y, const float *x, const float *b, int m, int n)
{
    for (int i = 0; i < m * n; i += n)
        for (int j = 0; j < n; j++)
            y[i + j] = x[i + j] + b[j];
}

/* y[m,n] = x[m,n] s[n] */
static void op_row_multiply(float *y, const float *x, const float *s, int m, int n)
{
    for (int i = 0; i < m * n; i += n)
        for (int j = 0; j < n; j++)
            y[i + j] = x[i + j] * s[j];
}

/* y[m] = sum_n x[m,n] */
static void op_row_sum(float *y, const float *x, int m, int n)
{
    for (int r = 0; r < m; r++)
        y[r] = row_sum(x + r * n, n);
}

/* Integers, which stay floats here: known = 0 and mask = 0 where label is the ignored one, else known = label, mask = 1 */
static void op_known_labels(float *known, float *mask, const float *label, int m, float ignored)
{
    for (int i = 0; i < m; i++) {
        mask[i] = label[i] != ignored ? 1.0f : 0.0f;
        known[i] = label[i] != ignored ? label[i] : 0.0f;
    }
}

/* y[m,b,a,c] = x[m,a,b,c] */
static void op_swap(float *restrict y, const float *restrict x, int m, int a, int b, int c)
{
    for (int r = 0; r < m; r++, x += a * b * c)
        for (int j = 0; j < b; j++)
            for (int i = 0; i < a; i++, y += c)
                for (int k = 0; k < c; k++)
                    y[k] = x[(i * b + j) * c + k];
}

/* y[m,n,k] = x[m,k] */
static void op_repeat(float *restrict y, const float *restrict x, int m, int k, int n)
{
    for (int i = 0; i < m * n; i++)
        for (int j = 0; j < k; j++)
            y[i * k + j] = x[i / n * k + j];
}

/* y[m,k] = sum_n x[m,n,k], in the order of n */
static void op_sum_steps(float *restrict y, const float *restrict x, int m, int n, int k)
{
    for (int r = 0; r < m; r++, y += k) {
        for (int j = 0; j < k; j++)
            y[j] = 0.0f;
        for (int i = 0; i < n; i++, x += k)
            for (int j = 0; j < k; j++)
                y[j] += x[j];
    }
}

/* Integers, which stay floats here, cut as by a cast to int */
static void op_gather_int(float *y, const float *x, int m, int n)
{
    for (int i = 0; i < m * n; i++)
        y[i] = truncf(x[i]);
}

/* y[m,n] = table[ids[m],n]; NaN where the id is no row of the table */
static void op_embedding(float *restrict y, const float *restrict ids, const float *restrict table, int m, int k, int n)
{
    for (int r = 0; r < m; r++) {
        const int known = ids[r] >= 0 && ids[r] < (float)k;
        const float *from = table + (known ? (int)ids[r] * n : 0);
        for (int j = 0; j < n; j++)
            y[r * n + j] = known ? from[j] : NAN;
    }
}

/* mask[m] = 0 where every x[m,n] is the value, else 1; y = x where the mask is 1, else 0 */
static void op_mask_steps(float *y, float *mask, const float *x, int m, int n, float value)
{
    for (int r = 0; r < m; r++) {
        int kept = 0;
        for (int j = 0; j < n; j++)
            kept |= x[r * n + j] != value;
        mask[r] = (float)kept;
        for (int j = 0; j < n; j++)
            y[r * n + j] = kept ? x[r * n + j] : 0.0f;
    }
}

/* y[m,n] = softmax of z[m] */
static void op_softmax(float *y, const float *z, int m, int n)
{
    for (int r = 0; r < m; r++, z += n, y += n) {
        const float top = row_max(z, n);
        for (int j = 0; j < n; j++)
            y[j] = nn_exp(z[j] - top);
        const float total = row_sum(y, n);
        for (int j = 0; j < n; j++)
            y[j] = y[j] / total;
    }
}

/* y[m,n] = z - max z - log(sum exp(z - max z)) */
static void op_log_softmax(float *y, const float *z, int m, int n)
{
    for (int r = 0; r < m; r++, z += n, y += n) {
        const float top = row_max(z, n);
        float s[16] = {0};
        for (int j = 0; j < n; j++)
            s[j % 16] += nn_exp(z[j] - top);
        const float log_total = nn_log(sum_of_16(s));
        for (int j = 0; j < n; j++)
            y[j] = z[j] - top - log_total;
    }
}

/* p[m,n] = max(z - t, 0), t such that sum_n p = 1: by Newton's method, up from t = -1. A row that holds NaN after the
   subtraction of its maximum becomes NaN. */
static void op_sparsemax(float *p, const float *z, int m, int n)
{
    for (int r = 0; r < m; r++, z += n, p += n) {
        const float top = row_max(z, n);
        float poison[16] = {0}, t = -1.0f, next;
        for (int j = 0; j < n; j++) {
            const float s = z[j] - top;
            poison[j % 16] += s == s ? 0.0f : s;
        }
        for (;; t = next) {
            float sum[16] = {0}, count[16] = {0};
            for (int j = 0; j < n; j++) {
                const float s = z[j] - top;
                sum[j % 16] += t < s ? s : 0.0f;
                count[j % 16] += t < s ? 1.0f : 0.0f;
            }
            next = (sum_of_16(sum) - 1.0f) / sum_of_16(count);
            if (!(next > t))
                break;
        }
        t = t + sum_of_16(poison);
        for (int j = 0; j < n; j++)
            p[j] = larger(0.0f, z[j] - top - t);
    }
}

/* y[m,h] = x[m,0,h] sigmoid(x[m,1,h]) */
static void op_glu(float *restrict y, const float *restrict x, int m, int two, int h)
{
    for (int r = 0; r < m; r++, y += h, x += two * h)
        for (int j = 0; j < h; j++)
            y[j] = x[j] * nn_sigmoid(x[h + j]);
}

/* y[m,n] = x where x > 0, else alpha[n] x, and 0 where alpha is 0 */
static void op_prelu(float *y, const float *x, const float *alpha, int m, int n)
{
    for (int i = 0; i < m * n; i += n)
        for (int j = 0; j < n; j++)
            y[i + j] = x[i + j] > 0.0f ? x[i + j] : nn_weigh(alpha[j], x[i + j]);
}

/* y[m,n] = (x - shift) scale + offset, what is absent left out */
static void op_affine(float *y, const float *x, const float *shift, const float *scale, const float *offset, int m,
                      int n)
{
    for (int i = 0; i < m * n; i += n)
        for (int j = 0; j < n; j++) {
            float value = x[i + j];
            if (shift)
                value = value - shift[j];
            if (scale)
                value = value * scale[j];
            if (offset)
                value = value + offset[j];
            y[i + j] = value;
        }
}

/* y[m,n] = (x - mean) factor gamma + beta, factor[m] = 1 / sqrt(variance + epsilon), with mean[m] and variance over n */
static void op_layer_norm(float *y, float *mean, float *factor, const float *x, const float *gamma, const float *beta,
                          int m, int n, float epsilon)
{
    for (int r = 0; r < m; r++, x += n, y += n) {
        mean[r] = row_sum(x, n) / (float)n;
        factor[r] = 1.0f / sqrtf(row_squares(x, mean[r], n) / (float)n + epsilon);
        const float center = mean[r], inverse = factor[r];
        for (int j = 0; j < n; j++) {
            float value = (x[j] - center) * inverse;
            if (gamma)
                value = value * gamma[j];
            if (beta)
                value = value + beta[j];
            y[j] = value;
        }
    }
}

/* y[m,n] = x factor gamma, factor[m] = 1 / sqrt(mean_n x^2 + epsilon) */
static void op_rms_norm(float *y, float *factor, const float *x, const float *gamma, int m, int n, float epsilon)
{
    for (int r = 0; r < m; r++, x += n, y += n) {
        const float inverse = 1.0f / sqrtf(row_squares(x, 0.0f, n) / (float)n + epsilon);
        factor[r] = inverse;
        for (int j = 0; j < n; j++)
            y[j] = x[j] * inverse * gamma[j];
    }
}

/* y[m,n] = x factor, factor[m] = min(1 / sqrt(sum_n x^2), 1e12) */
static void op_unit_norm(float *y, float *factor, const float *x, int m, int n)
{
    for (int r = 0; r < m; r++, x += n, y += n) {
        const float inverse = smaller(1e12f, 1.0f / sqrtf(row_squares(x, 0.0f, n)));
        factor[r] = inverse;
        for (int j = 0; j < n; j++)
            y[j] = x[j] * inverse;
    }
}
