/* Prints the seconds of a step, and a number of its output: of rnnkit's exported layer, or of keras2c's LSTM. */
#include <stdio.h>
#include <time.h>

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

#ifdef KERAS2C
#include "k2c_include.h"
#include "weights.h"
static float x[FEATURES], state[2 * UNITS], work[8 * UNITS];
static k2c_tensor made(float *array, size_t rows, size_t columns)
{
    k2c_tensor t = {array, 2, rows * columns, {rows, columns, 1, 1, 1}};
    return t;
}
int main(void)
{
    k2c_tensor w = made(kernel, 4 * FEATURES, UNITS), u = made(recurrent_kernel, 4 * UNITS, UNITS);
    k2c_tensor b = made(bias, 4 * UNITS, 1);
    for (int i = 0; i < FEATURES; ++i) { x[i] = 0.01f * (float)i; }
    const double start = now();
    for (int i = 0; i < STEPS; ++i) {
        k2c_lstmcell(state, x, &w, &u, &b, work, k2c_sigmoid, k2c_tanh);
        x[0] = state[3];
    }
    printf("%.9g %.7g\n", (now() - start) / STEPS, (double)state[0]);
    return 0;
}
#else
#include "layer.h"
static layer_state state;
static REAL x[LAYER_X], y[LAYER_Y];
int main(void)
{
    layer_reset(&state);
    for (int i = 0; i < LAYER_X; ++i) { x[i] = (REAL)0.01 * i; }
    const double start = now();
    for (int i = 0; i < STEPS; ++i) { layer_step(&state, x, y); x[0] = y[3]; }
    printf("%.9g %.7g\n", (now() - start) / STEPS, (double)y[0]);
    return 0;
}
#endif
