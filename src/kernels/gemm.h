/* The dense layer's matrix products: c = finish(start + a b), all of them by one driver over one micro-kernel.

   The promise: an element of c is one chain of multiply-adds over the depth in order, from the bias (or 0) on. Tiles,
   blocks, vectors, shares and rows beside it do not change its bits: a block of the depth after the first takes c
   itself as its start.

   From the outside in: op_dense & co. describe a product; multiply_share cuts it for a thread; multiply computes it, or,
   where it is narrow, its transpose; multiply_wide walks blocks that fit the caches, multiply_block their panels of
   columns, multiply_panel its tiles of rows; tile, the micro-kernel, holds the sums in registers. */
#ifndef NNCORE_GEMM_H
#define NNCORE_GEMM_H

#include "loops.h"
#include "math.h"

enum {
    PANEL_VECS = 8,     /* the widest panel, for very few rows */
    HIGHEST_TILE = 16,  /* in rows, on any instruction set */
    DEPTH_BLOCK = 256,  /* a packed panel of b of this depth, and a tile of a, stay in the caches next to the core; */
    LONG_BLOCK = 512,   /* so does a panel of this depth that is read where it lies, and c is written half as often */
    ROW_BLOCK = 256,    /* so many rows of a, of that depth, in the one after it */
    STREAM_DEPTH = 16,  /* the depth of a block that reads b once, in runs of whole rows: for few rows, */
    STREAM_ROWS = 4,    /* up to this many, where those of b are long, */
    STREAM_COLS = 2048, /* of this many reals, */
    STREAM_ONE = 512,   /* or, for one row, this many in a b */
    STREAM_SIZE = 1 << 18, /* of so many, which comes from beyond the cache next but one */
    PAGE = 4096 / (int)sizeof(real),
    NARROW = 16,        /* columns of a weight gradient up to which its transpose is computed, */
    NARROW_ROWS = 4 * LANES, /* for so many rows at a time */
    PACKED_B = PANEL_VECS * LANES * DEPTH_BLOCK, /* reals of scratch for a packed panel of b, */
    PACKED_A = ROW_BLOCK * (DEPTH_BLOCK + LANES), /* for a packed block of a, */
    PACKED_C = NARROW * NARROW_ROWS, /* and for the transpose of a narrow c */
};

_Static_assert((PACKED_B + PACKED_A + PACKED_C) * sizeof(real) <= NN_SCRATCH, "a product's scratch");

/* What is done to a sum before it is c: up to DESCEND in registers, beyond in a pass over the tile. */
typedef enum { AS_IS, RELU, RELU_GRAD, DESCEND, TANH, SIGMOID, TANH_GRAD, SIGMOID_GRAD } finish;

/* c[i,j] = finish(bias[j] + sum_s a[i,s] b[s,j]) */
typedef struct {
    int64_t rows, depth, cols;
    real *c; /* c[i,j] at i c_row + j */
    int64_t c_row;
    const real *a; /* a[i,s] at i a_row + s a_step */
    int64_t a_row, a_step;
    const real *b; /* b[s,j] at s b_step + j b_col; one of them is 1 */
    int64_t b_step, b_col;
    const real *bias; /* NULL: 0 */
    finish finish;
    const real *y; /* of c's layout: what the finish of a gradient reads */
    real rate;     /* of DESCEND */
} product;

/* A panel: at most PANEL_VECS vectors of columns, in one block of rows and depth. */
typedef struct {
    int64_t rows, depth;
    int cols;
    real *c; /* c[i,j] at i c_row + j */
    int64_t c_row;
    const real *a; /* a[i,s] at i a_row + s a_step */
    int64_t a_row, a_step;
    const real *b; /* b[s,j] at s b_step + j */
    int64_t b_step;
    const real *start; /* start[i,j] at i start_row + j; NULL: 0 */
    int64_t start_row;
    finish finish;
    const real *y; /* of c's layout */
    real rate;     /* of DESCEND */
    const real *next; /* what the next panel will pack, to be fetched meanwhile: next_rows rows of next_cols */
    int64_t next_rows, next_cols, next_row;
} panel;

/* Before a loop: unroll all of it. An index into sum[][] that is no constant would put the whole array into memory. */
#if defined(__clang__)
#define UNROLL _Pragma("clang loop unroll(full)")
#else
#define UNROLL _Pragma("GCC unroll 16")
#endif

/* Vector v of a row of a tile; the last one is masked where the panel ends within it. */
INLINE vec load_in_tile(const real *row, int v, int masked, vec_mask mask)
{
    return masked ? vec_load_first(row + v * LANES, mask) : vec_load(row + v * LANES);
}

INLINE void store_in_tile(real *row, int v, int masked, vec_mask mask, vec value)
{
    if (masked)
        vec_store_first(row + v * LANES, mask, value);
    else
        vec_store(row + v * LANES, value);
}

/* The micro-kernel: c[i,j] = start[i,j] + sum_s a[i,s] b[s,j] for `rows` by `vecs` vectors from row `i` on. The last
   vector is masked where `tail`. rows, vecs and tail are constants, so that sum[][] lives in registers. */
INLINE void tile(const int rows, const int vecs, const int tail, const panel *p, int64_t i)
{
#define MASKED (tail && v == vecs - 1)
    vec sum[HIGHEST_TILE][PANEL_VECS];
    const vec_mask mask = vec_mask_first(p->cols - (vecs - 1) * LANES);
    const int64_t a_row = p->a_row, a_step = p->a_step, b_step = p->b_step, c_row = p->c_row, start_row = p->start_row;
    const real *start = p->start ? p->start + i * start_row : NULL, *b = p->b;
    UNROLL for (int r = 0; r < rows; r++)
        UNROLL for (int v = 0; v < vecs; v++)
            sum[r][v] = start ? load_in_tile(start + r * start_row, v, MASKED, mask) : vec_zero();

    /* Every eighth row has a pointer: with one for all of 16, the loop would keep offsets in memory. */
    const real *a[HIGHEST_TILE / 8];
    UNROLL for (int r = 0; r < rows; r += 8)
        a[r / 8] = p->a + (i + r) * a_row;
    for (int64_t s = p->depth; s > 0; s--) {
        vec factors[PANEL_VECS];
        UNROLL for (int v = 0; v < vecs; v++)
            factors[v] = load_in_tile(b, v, MASKED, mask);
        UNROLL for (int r = 0; r < rows; r++) {
            const vec factor = vec_set1(a[r / 8][r % 8 * a_row]);
            UNROLL for (int v = 0; v < vecs; v++)
                sum[r][v] = vec_fma(factor, factors[v], sum[r][v]);
        }
        UNROLL for (int r = 0; r < rows; r += 8)
            a[r / 8] += a_step;
        b += b_step;
    }

    /* A masked tile reads all of c before it writes any: a read that may overlap a masked write waits for it. */
    real *c = p->c + i * c_row;
    const real *y = p->finish == RELU_GRAD ? p->y + i * c_row : NULL;
    UNROLL for (int r = 0; r < rows; r++) {
        if (p->finish == RELU)
            UNROLL for (int v = 0; v < vecs; v++)
                sum[r][v] = vec_relu(sum[r][v]);
        else if (p->finish == RELU_GRAD)
            UNROLL for (int v = 0; v < vecs; v++)
                sum[r][v] = vec_relu_grad(sum[r][v], load_in_tile(y + r * c_row, v, MASKED, mask));
        else if (p->finish == DESCEND) /* the bits of op_sgd */
            UNROLL for (int v = 0; v < vecs; v++)
                sum[r][v] = vec_sub(load_in_tile(c + r * c_row, v, MASKED, mask), vec_mul(vec_set1(p->rate), sum[r][v]));
        if (!tail)
            UNROLL for (int v = 0; v < vecs; v++)
                vec_store(c + r * c_row + v * LANES, sum[r][v]);
    }
    if (tail)
        UNROLL for (int r = 0; r < rows; r++)
            UNROLL for (int v = 0; v < vecs; v++)
                store_in_tile(c + r * c_row, v, MASKED, mask, sum[r][v]);
#undef MASKED
}

/* A function for each size of tile up to TILE_ROWS(vecs), tile_6x4 for one: a compiler keeps the sums of one tile in
   registers, but may not where several share a function. */
typedef void tile_function(const panel *p, int64_t i);

#define FUNCTION(rows, vecs)                                                                                           \
    static void tile_##rows##x##vecs(const panel *p, int64_t i)                                                        \
    {                                                                                                                  \
        if (rows > TILE_ROWS(vecs))                                                                                    \
            return;                                                                                                    \
        if (p->cols == vecs * LANES)                                                                                   \
            tile(rows, vecs, 0, p, i);                                                                                 \
        else                                                                                                           \
            tile(rows, vecs, 1, p, i);                                                                                 \
    }
#define ENTRY(rows, vecs) [rows] = tile_##rows##x##vecs,
#define HEIGHTS(X, vecs)                                                                                               \
    X(1, vecs) X(2, vecs) X(3, vecs) X(4, vecs) X(5, vecs) X(6, vecs) X(7, vecs) X(8, vecs)                            \
    X(9, vecs) X(10, vecs) X(11, vecs) X(12, vecs) X(13, vecs) X(14, vecs) X(15, vecs) X(16, vecs)

HEIGHTS(FUNCTION, 1) HEIGHTS(FUNCTION, 2) HEIGHTS(FUNCTION, 3) HEIGHTS(FUNCTION, 4)
HEIGHTS(FUNCTION, 5) HEIGHTS(FUNCTION, 6) HEIGHTS(FUNCTION, 7) HEIGHTS(FUNCTION, 8)

static tile_function *const tile_of[PANEL_VECS + 1][HIGHEST_TILE + 1] = {
    [1] = {HEIGHTS(ENTRY, 1)}, [2] = {HEIGHTS(ENTRY, 2)}, [3] = {HEIGHTS(ENTRY, 3)}, [4] = {HEIGHTS(ENTRY, 4)},
    [5] = {HEIGHTS(ENTRY, 5)}, [6] = {HEIGHTS(ENTRY, 6)}, [7] = {HEIGHTS(ENTRY, 7)}, [8] = {HEIGHTS(ENTRY, 8)},
};
#undef FUNCTION
#undef ENTRY
#undef HEIGHTS

INLINE vec finish_vec(finish f, vec sum, vec y)
{
    switch (f) {
    case TANH: return vec_tanh(sum);
    case SIGMOID: return vec_sigmoid(sum);
    case TANH_GRAD: return vec_tanh_grad(sum, y);
    case SIGMOID_GRAD: return vec_sigmoid_grad(sum, y);
    default: return sum;
    }
}

/* c = finish(c) for `rows` rows of a panel from row `i` on, while the tile's rows are still in the cache. */
INLINE void finish_rows_as(const finish f, const panel *p, int64_t i, int rows)
{
    const int gradient = f >= TANH_GRAD, whole = p->cols / LANES * LANES;
    const vec_mask mask = vec_mask_first(p->cols - whole);
    for (int64_t r = i; r < i + rows; r++) {
        real *c = p->c + r * p->c_row;
        const real *y = gradient ? p->y + r * p->c_row : c;
        for (int j = 0; j < whole; j += LANES)
            vec_store(c + j, finish_vec(f, vec_load(c + j), vec_load(y + j)));
        if (whole < p->cols) {
            vec last = finish_vec(f, vec_load_first(c + whole, mask), vec_load_first(y + whole, mask));
            vec_store_first(c + whole, mask, last);
        }
    }
}

static void finish_rows(const panel *p, int64_t i, int rows)
{
    switch (p->finish) {
    case TANH: finish_rows_as(TANH, p, i, rows); break;
    case SIGMOID: finish_rows_as(SIGMOID, p, i, rows); break;
    case TANH_GRAD: finish_rows_as(TANH_GRAD, p, i, rows); break;
    case SIGMOID_GRAD: finish_rows_as(SIGMOID_GRAD, p, i, rows); break;
    default: break;
    }
}

/* The length of piece `index` when `total` is cut into `pieces` whose lengths differ by 1 at most, longer ones first. */
static inline int64_t piece(int64_t total, int64_t pieces, int64_t index)
{
    return total / pieces + (index < total % pieces);
}

static inline int64_t pieces_of(int64_t total, int64_t most) { return (total + most - 1) / most; }

INLINE void prefetch(const real *from, int64_t row, int64_t rows, int64_t cols)
{
    for (int64_t r = 0; r < rows; r++)
        for (int64_t j = 0; j < cols; j += 64 / (int)sizeof(real))
            __builtin_prefetch(from + r * row + j);
}

/* A panel that is `vecs` vectors wide, in tiles of balanced heights: 32 rows are 6, 6, 5, 5, 5, 5. */
static void multiply_panel(const panel *p, int vecs)
{
    const int64_t tiles = pieces_of(p->rows, TILE_ROWS(vecs));
    int64_t i = 0;
    for (int64_t t = 0; t < tiles; t++) {
        const int rows = (int)piece(p->rows, tiles, t);
        /* Weights that the next tile changes, where each of their rows is in another page and the processor does not
           foresee them, and a share of the next panel arrive while this tile is computed. */
        if (p->finish == DESCEND && p->c_row >= PAGE && i + rows < p->rows)
            prefetch(p->c + (i + rows) * p->c_row, p->c_row, rows, p->cols);
        if (p->next) {
            const int64_t first = p->next_rows * t / tiles, last = p->next_rows * (t + 1) / tiles;
            prefetch(p->next + first * p->next_row, p->next_row, last - first, p->next_cols);
        }
        tile_of[vecs][rows](p, i);
        if (p->finish > DESCEND)
            finish_rows(p, i, rows);
        i += rows;
    }
}

/* to[s,j] = from[s,j], j < cols, with zeros up to whole vectors; rows of `to` are `width` long. */
static void pack(real *to, int64_t width, const real *from, int64_t from_step, int64_t depth, int cols)
{
    const int whole = cols / LANES * LANES;
    const vec_mask mask = vec_mask_first(cols - whole);
    for (int64_t s = 0; s < depth; s++, to += width, from += from_step) {
        for (int j = 0; j < whole; j += LANES)
            vec_store(to + j, vec_load(from + j));
        if (whole < cols)
            vec_store(to + whole, vec_load_first(from + whole, mask));
    }
}

/* to[s,j] = from[j,s], j < cols, with zeros up to whole vectors; rows of `to` are `width` long, of `from` from_row. */
static void pack_transposed(real *to, int64_t width, const real *from, int64_t from_row, int64_t depth, int cols)
{
    for (int j = 0; j < cols; j += LANES)
        for (int64_t s = 0; s < depth; s += LANES) {
            const int rows = cols - j < LANES ? cols - j : LANES, steps = (int)(depth - s < LANES ? depth - s : LANES);
            const vec_mask mask = vec_mask_first(steps);
            vec block[LANES];
            UNROLL for (int r = 0; r < LANES; r++)
                block[r] = r < rows ? vec_load_first(from + (j + r) * from_row + s, mask) : vec_zero();
            vec_transpose(block);
            UNROLL for (int r = 0; r < LANES; r++)
                if (r < steps)
                    vec_store(to + (s + r) * width + j, block[r]);
        }
}

/* How wide panels are for so many rows: as wide as makes one tile of all of them, else TILE_VECS. */
static int panel_width(int64_t rows)
{
    for (int vecs = PANEL_VECS; vecs > 1; vecs--)
        if (rows <= TILE_ROWS(vecs))
            return vecs;
    return TILE_VECS;
}

/* How a product's operands are brought into the cache. */
typedef struct {
    int transposed; /* b's columns are contiguous: pack them as rows */
    int packs_b;    /* or copy its rows, where they lie so far apart that a panel falls into few sets of the cache */
    int packs_a;    /* likewise for the columns of a weight gradient's a */
    int64_t depth_block;
} strategy;

static strategy strategy_of(const product *p)
{
    enum { FAR = 16, MANY_ROWS = 64, MANY_PANELS = 4, FAR_STEP = 256 };
    const int64_t width = TILE_VECS * LANES;
    const int transposed = p->b_step == 1 && p->b_col != 1;
    /* Sums that are taken from the weights in c cannot wait in c for the next block of the depth. */
    const int whole = p->finish == DESCEND, packs = !whole || p->depth <= DEPTH_BLOCK;
    const int one = p->rows == 1 && p->cols >= STREAM_ONE && p->depth * p->cols >= STREAM_SIZE;
    const int packs_b = transposed || (packs && p->b_step > FAR * width && p->rows >= MANY_ROWS);
    const int streams = !transposed && (one || (p->rows <= STREAM_ROWS && p->cols >= STREAM_COLS));
    return (strategy){
        .transposed = transposed,
        .packs_b = packs_b,
        .packs_a = packs && p->a_row == 1 && p->a_step >= FAR_STEP && p->cols >= MANY_PANELS * width,
        .depth_block = whole ? p->depth : streams ? STREAM_DEPTH : packs_b || p->a_row == 1 ? DEPTH_BLOCK : LONG_BLOCK,
    };
}

/* The rows of b in memory from which `q`'s panel was packed, moved on by its columns: the next panel's. */
static void fetch_next(panel *q, const product *p, const strategy *how, const real *b, int64_t cols_left)
{
    const int64_t cols = cols_left < q->cols ? cols_left : q->cols;
    q->next = b + q->cols * p->b_col;
    q->next_rows = how->transposed ? cols : q->depth;
    q->next_cols = how->transposed ? q->depth : cols;
    q->next_row = how->transposed ? p->b_col : p->b_step;
}

/* One block of rows and depth, panel by panel. */
static void multiply_block(const product *p, const strategy *how, real *scratch, int64_t i, int64_t rows, int64_t s,
                           int64_t depth)
{
    real *packed_b = scratch, *packed_a = scratch + PACKED_B;
    const int64_t vecs = pieces_of(p->cols, LANES), panels = pieces_of(vecs, panel_width(rows));
    panel q = {
        .rows = rows, .depth = depth, .c_row = p->c_row, .a = p->a + i * p->a_row + s * p->a_step, .a_row = p->a_row,
        .a_step = p->a_step, .start_row = s > 0 ? p->c_row : 0, .finish = s + depth == p->depth ? p->finish : AS_IS,
        .rate = p->rate,
    };
    if (how->packs_a) {
        q.a_row = DEPTH_BLOCK + LANES; /* not a power of 2 */
        q.a_step = 1;
        pack_transposed(packed_a, q.a_row, q.a, p->a_step, rows, (int)depth);
        q.a = packed_a;
    }
    int64_t j = 0;
    for (int64_t t = 0; t < panels; t++) {
        const int width = (int)piece(vecs, panels, t);
        const real *b = p->b + s * p->b_step + j * p->b_col;
        q.cols = (int)(p->cols - j < width * LANES ? p->cols - j : width * LANES);
        q.c = p->c + i * p->c_row + j;
        q.start = s > 0 ? q.c : p->bias ? p->bias + j : NULL;
        q.y = p->y ? p->y + i * p->c_row + j : NULL;
        q.b = how->packs_b ? packed_b : b;
        q.b_step = how->packs_b ? width * LANES : p->b_step;
        q.next = NULL;
        if (how->transposed)
            pack_transposed(packed_b, q.b_step, b, p->b_col, depth, q.cols);
        else if (how->packs_b)
            pack(packed_b, q.b_step, b, p->b_step, depth, q.cols);
        if (how->packs_b && t + 1 < panels)
            fetch_next(&q, p, how, b, p->cols - j - q.cols);
        multiply_panel(&q, width);
        j += q.cols;
    }
}

/* Block by block of rows and depth. */
static void multiply_wide(const product *p, real *scratch)
{
    const strategy how = strategy_of(p);
    const int64_t row_blocks = pieces_of(p->rows, ROW_BLOCK);
    const int64_t depth_blocks = p->depth > 0 ? pieces_of(p->depth, how.depth_block) : 1;
    int64_t s = 0;
    for (int64_t k = 0; k < depth_blocks; k++) {
        const int64_t depth = piece(p->depth, depth_blocks, k);
        int64_t i = 0;
        for (int64_t t = 0; t < row_blocks; t++) {
            const int64_t rows = piece(p->rows, row_blocks, t);
            multiply_block(p, &how, scratch, i, rows, s, depth);
            i += rows;
        }
        s += depth;
    }
}

/* c[i,j] = finish(ct[j,i]) for `rows` rows of c from row `i` on; rows of ct are NARROW_ROWS long. */
static void store_transposed(const product *p, const real *ct, int64_t i, int64_t rows)
{
    for (int64_t j = 0; j < p->cols; j += LANES) {
        const int cols = (int)(p->cols - j < LANES ? p->cols - j : LANES);
        const vec_mask mask = vec_mask_first(cols);
        for (int64_t first = 0; first < rows; first += LANES) {
            const int count = (int)(rows - first < LANES ? rows - first : LANES);
            real *c = p->c + (i + first) * p->c_row + j;
            vec block[LANES];
            UNROLL for (int r = 0; r < LANES; r++)
                block[r] = r < cols ? vec_load(ct + (j + r) * NARROW_ROWS + first) : vec_zero();
            vec_transpose(block);
            if (p->finish == DESCEND) /* the bits of op_sgd */
                UNROLL for (int r = 0; r < LANES; r++)
                    if (r < count)
                        block[r] = vec_sub(vec_load_first(c + r * p->c_row, mask), vec_mul(vec_set1(p->rate), block[r]));
            UNROLL for (int r = 0; r < LANES; r++)
                if (r < count)
                    vec_store_first(c + r * p->c_row, mask, block[r]);
        }
    }
}

/* A weight gradient of few columns: its transpose, whose rows fill whole vectors where c's would not. */
static void multiply_narrow(const product *p, real *scratch)
{
    real *ct = scratch + PACKED_B + PACKED_A;
    for (int64_t i = 0; i < p->rows; i += NARROW_ROWS) {
        const int64_t rows = p->rows - i < NARROW_ROWS ? p->rows - i : NARROW_ROWS;
        multiply_wide(&(product){.rows = p->cols, .depth = p->depth, .cols = rows, .c = ct, .c_row = NARROW_ROWS,
                                 .a = p->b, .a_row = p->b_col, .a_step = p->b_step,
                                 .b = p->a + i, .b_step = p->a_step, .b_col = 1}, scratch);
        store_transposed(p, ct, i, rows);
    }
}

static void multiply(const product *p, real *scratch)
{
    const int plain = !p->bias && (p->finish == AS_IS || p->finish == DESCEND);
    if (plain && p->a_row == 1 && p->cols <= NARROW && p->rows > p->cols)
        multiply_narrow(p, scratch);
    else
        multiply_wide(p, scratch);
}

/* Share `part` of `parts`: of the columns where every share gets a panel, so that none is packed twice, else of rows. */
static void multiply_share(product p, const nn_instr *instr, int part, int parts)
{
    if (p.cols >= (int64_t)parts * TILE_VECS * LANES) {
        const nn_range j = nn_share(p.cols, LANES, part, parts);
        p.cols = j.end - j.begin;
        p.b += j.begin * p.b_col;
        p.c += j.begin;
        p.bias = p.bias ? p.bias + j.begin : NULL;
        p.y = p.y ? p.y + j.begin : NULL;
    } else {
        const nn_range i = nn_share(p.rows, 1, part, parts);
        p.rows = i.end - i.begin;
        p.a += i.begin * p.a_row;
        p.c += i.begin * p.c_row;
        p.y = p.y ? p.y + i.begin * p.c_row : NULL;
    }
    multiply(&p, (real *)nn_scratch(instr, part));
}

/* y[m,n] = finish(b[n] + sum_k x[m,k] w[k,n]) */
static void dense(const nn_instr *instr, finish f, int part, int parts)
{
    const int64_t m = instr->dim[0], k = instr->dim[1], n = instr->dim[2];
    real *y = instr->operand[0];
    const real *x = instr->operand[1], *w = instr->operand[2], *b = instr->operand[3];
    multiply_share((product){.rows = m, .depth = k, .cols = n, .c = y, .c_row = n, .a = x, .a_row = k, .a_step = 1,
                             .b = w, .b_step = n, .b_col = 1, .bias = b, .finish = f}, instr, part, parts);
}

/* dx[m,k] = finish(sum_n dy[m,n] w[k,n], y[m,k]) */
static void dense_grad_x(const nn_instr *instr, finish f, int part, int parts)
{
    const int64_t m = instr->dim[0], n = instr->dim[1], k = instr->dim[2];
    real *dx = instr->operand[0];
    const real *dy = instr->operand[1], *w = instr->operand[2], *y = f == AS_IS ? NULL : instr->operand[3];
    multiply_share((product){.rows = m, .depth = n, .cols = k, .c = dx, .c_row = k, .a = dy, .a_row = n, .a_step = 1,
                             .b = w, .b_step = 1, .b_col = n, .finish = f, .y = y}, instr, part, parts);
}

KERNEL(op_dense) { (void)step; dense(instr, AS_IS, part, parts); }
KERNEL(op_dense_relu) { (void)step; dense(instr, RELU, part, parts); }
KERNEL(op_dense_tanh) { (void)step; dense(instr, TANH, part, parts); }
KERNEL(op_dense_sigmoid) { (void)step; dense(instr, SIGMOID, part, parts); }
KERNEL(op_dense_grad_x) { (void)step; dense_grad_x(instr, AS_IS, part, parts); }
KERNEL(op_dense_grad_x_relu) { (void)step; dense_grad_x(instr, RELU_GRAD, part, parts); }
KERNEL(op_dense_grad_x_tanh) { (void)step; dense_grad_x(instr, TANH_GRAD, part, parts); }
KERNEL(op_dense_grad_x_sigmoid) { (void)step; dense_grad_x(instr, SIGMOID_GRAD, part, parts); }

/* dw[k,n] = finish(sum_m x[m,k] dy[m,n]); the sum is 0 where m is 0 */
static void dense_grad_w(const nn_instr *instr, finish f, real rate, int part, int parts)
{
    const int64_t m = instr->dim[0], k = instr->dim[1], n = instr->dim[2];
    real *dw = instr->operand[0];
    const real *x = instr->operand[1], *dy = instr->operand[2];
    multiply_share((product){.rows = k, .depth = m, .cols = n, .c = dw, .c_row = n, .a = x, .a_row = 1, .a_step = k,
                             .b = dy, .b_step = n, .b_col = 1, .finish = f, .rate = rate}, instr, part, parts);
}

/* db[j] = finish(sum_m dy[m,j]) for `vecs` vectors of columns, the last one masked */
INLINE void sum_rows(const int vecs, real *db, const real *dy, int64_t m, int64_t n, vec_mask mask, finish f, real rate)
{
    vec sum[PANEL_VECS];
    UNROLL for (int v = 0; v < vecs; v++)
        sum[v] = vec_zero();
    for (int64_t i = 0; i < m; i++, dy += n)
        UNROLL for (int v = 0; v < vecs; v++)
            sum[v] = vec_add(sum[v], load_in_tile(dy, v, v == vecs - 1, mask));
    UNROLL for (int v = 0; v < vecs; v++) {
        real *to = db + v * LANES;
        if (f == DESCEND) /* the bits of op_sgd */
            sum[v] = vec_sub(load_in_tile(to, 0, v == vecs - 1, mask), vec_mul(vec_set1(rate), sum[v]));
        store_in_tile(to, 0, v == vecs - 1, mask, sum[v]);
    }
}

/* db[n] = finish(sum_m dy[m,n]), each sum in the order of m */
static void bias_grad(const nn_instr *instr, finish f, real rate, int part, int parts)
{
    const int64_t m = instr->dim[0], n = instr->dim[1];
    const nn_range share = nn_share(n, LANES, part, parts);
    real *db = instr->operand[0];
    const real *dy = instr->operand[1];
    for (int64_t j = share.begin; j < share.end;) {
        const int64_t vecs = pieces_of(share.end - j, LANES), width = vecs >= 8 ? 8 : vecs >= 4 ? 4 : 1;
        const int64_t last = share.end - j - (width - 1) * LANES;
        const vec_mask mask = vec_mask_first(last < LANES ? (int)last : LANES);
        if (width == 8)
            sum_rows(8, db + j, dy + j, m, n, mask, f, rate);
        else if (width == 4)
            sum_rows(4, db + j, dy + j, m, n, mask, f, rate);
        else
            sum_rows(1, db + j, dy + j, m, n, mask, f, rate);
        j += width * LANES;
    }
}

KERNEL(op_dense_grad_w) { (void)step; dense_grad_w(instr, AS_IS, 0, part, parts); }
KERNEL(op_dense_grad_w_sgd) { dense_grad_w(instr, DESCEND, (real)step->rates[0], part, parts); }
KERNEL(op_bias_grad) { (void)step; bias_grad(instr, AS_IS, 0, part, parts); }
KERNEL(op_bias_grad_sgd) { bias_grad(instr, DESCEND, (real)step->rates[0], part, parts); }

#endif
