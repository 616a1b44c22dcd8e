#include "rng.h"

#include <math.h>

#define GOLDEN UINT64_C(0x9e3779b97f4a7c15) /* 2^64 divided by the golden ratio */

static uint64_t splitmix(uint64_t *state)
{
	uint64_t mixed = *state += GOLDEN;

	mixed = (mixed ^ (mixed >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	mixed = (mixed ^ (mixed >> 27)) * UINT64_C(0x94d049bb133111eb);
	return mixed ^ (mixed >> 31);
}

void rng_seed(struct rng *rng, uint64_t seed, uint64_t stream)
{
	uint64_t state = stream;

	/* The stream is mixed first: neighbours must not begin as each other's continuation. */
	state = seed ^ splitmix(&state);
	for (int i = 0; i < 4; i++)
		rng->state[i] = splitmix(&state);
}

static uint64_t rotate(uint64_t value, int bits)
{
	return (value << bits) | (value >> (64 - bits));
}

uint64_t rng_next(struct rng *rng)
{
	uint64_t *s = rng->state;
	uint64_t result = rotate(s[1] * 5, 7) * 9, shifted = s[1] << 17;

	s[2] ^= s[0];
	s[3] ^= s[1];
	s[1] ^= s[2];
	s[0] ^= s[3];
	s[2] ^= shifted;
	s[3] = rotate(s[3], 45);
	return result;
}

uint64_t rng_below(struct rng *rng, uint64_t n)
{
	uint64_t value, rest;

	if (n < 2)
		return 0;
	/* 2^64 is no multiple of n: what is left over at the low end is drawn anew. */
	rest = -n % n;
	do
		value = rng_next(rng);
	while (value < rest);
	return value % n;
}

double rng_unit(struct rng *rng)
{
	return (double)(rng_next(rng) >> 11) * 0x1p-53;
}

double rng_normal(struct rng *rng)
{
	double x, y, square;

	do {
		x = 2 * rng_unit(rng) - 1;
		y = 2 * rng_unit(rng) - 1;
		square = x * x + y * y;
	} while (square >= 1 || square == 0);
	return x * sqrt(-2 * log(square) / square);
}
