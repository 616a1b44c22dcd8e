/*
 * rng - random numbers that are the same everywhere
 *
 * xoshiro256** 1.0 (D. Blackman, S. Vigna: "Scrambled linear pseudorandom number generators", ACM TOMS 47, 2021), its
 * state filled by splitmix64 (G. Steele, D. Lea, C. Flood: "Fast splittable pseudorandom number generators", OOPSLA
 * 2014). Integers are the same on every machine; what goes through logarithms may differ in the last bit between C
 * libraries. Not for secrets. No I/O, no state but the caller's.
 */
#ifndef SEALTUNER_RNG_H
#define SEALTUNER_RNG_H

#include <stdint.h>

struct rng {
	uint64_t state[4];
};

/* Each pair of seed and stream is a sequence of its own. */
void rng_seed(struct rng *rng, uint64_t seed, uint64_t stream);

uint64_t rng_next(struct rng *rng);

/* Evenly from 0 to n - 1, without bias; 0 for n 0. */
uint64_t rng_below(struct rng *rng, uint64_t n);

/* Evenly in [0, 1), a multiple of 2^-53. */
double rng_unit(struct rng *rng);

/* Of mean 0 and standard deviation 1 (Marsaglia's polar method; one of the pair is thrown away). */
double rng_normal(struct rng *rng);

#endif
