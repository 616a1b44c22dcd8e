/* Random numbers that are the same everywhere, against the published ones. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <math.h>

#include "../../tools/sealtuner/rng.c"

/* As the authors' reference programs print them (prng.di.unimi.it). */
static void splitmix_and_xoshiro_give_the_reference_numbers(void **state)
{
	static const uint64_t split[] = {UINT64_C(0xe220a8397b1dcdaf), UINT64_C(0x6e789e6aa1b965f4), UINT64_C(0x06c45d188009454f)};
	static const uint64_t xoshiro[] = {11520, 0, 1509978240, UINT64_C(1215971899390074240),
					   UINT64_C(1216172134540287360), UINT64_C(607988272756665600),
					   UINT64_C(16172922978634559625), UINT64_C(8476171486693032832)};
	struct rng rng = {{1, 2, 3, 4}};
	uint64_t seed = 0;

	for (size_t i = 0; i < sizeof(split) / sizeof(split[0]); i++)
		assert_int_equal(splitmix(&seed), split[i]);
	for (size_t i = 0; i < sizeof(xoshiro) / sizeof(xoshiro[0]); i++)
		assert_int_equal(rng_next(&rng), xoshiro[i]);
}

static void streams_of_one_seed_differ_and_repeat(void **state)
{
	struct rng a, b, again;

	rng_seed(&a, 1, 1);
	rng_seed(&b, 1, 2);
	rng_seed(&again, 1, 1);
	for (int i = 0; i < 1000; i++) {
		uint64_t value = rng_next(&a);

		assert_int_not_equal(value, rng_next(&b));
		assert_int_equal(value, rng_next(&again));
	}
}

/* Pearson's chi-squared for 6 values: 20.5 is exceeded by chance once in a thousand seeds; the seed is fixed. */
static void below_is_even(void **state)
{
	enum { N = 6, DRAWS = 60000 };
	unsigned int seen[N] = {0};
	double square = 0;
	struct rng rng;

	rng_seed(&rng, 42, 0);
	for (int i = 0; i < DRAWS; i++)
		seen[rng_below(&rng, N)]++;
	for (int i = 0; i < N; i++)
		square += pow(seen[i] - (double)DRAWS / N, 2) / ((double)DRAWS / N);
	assert_true(square < 20.5);
	assert_int_equal(rng_below(&rng, 1), 0);
	assert_int_equal(rng_below(&rng, 0), 0);
}

static void normal_has_its_moments(void **state)
{
	enum { DRAWS = 100000 };
	double sum = 0, squares = 0, tails = 0;
	struct rng rng;

	rng_seed(&rng, 7, 3);
	for (int i = 0; i < DRAWS; i++) {
		double x = rng_normal(&rng);

		sum += x;
		squares += x * x;
		tails += fabs(x) > 1.959964;
	}
	assert_true(fabs(sum / DRAWS) < 0.015);
	assert_true(fabs(squares / DRAWS - 1) < 0.02);
	assert_true(fabs(tails / DRAWS - 0.05) < 0.004);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(splitmix_and_xoshiro_give_the_reference_numbers),
		cmocka_unit_test(streams_of_one_seed_differ_and_repeat),
		cmocka_unit_test(below_is_even),
		cmocka_unit_test(normal_has_its_moments),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
