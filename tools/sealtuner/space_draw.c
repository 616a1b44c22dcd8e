#include "space.h"

#include <math.h>
#include <string.h>

#include "../sealctl/cleanup.h"

static double clip(double value, double low, double high)
{
	return value < low ? low : value > high ? high : value;
}

static double to_multiple(double value, double step)
{
	return round(value / step) * step;
}

/* low <= … < high, whatever rounding does. */
static double draw_between(struct rng *rng, double low, double high)
{
	return clip(low + (high - low) * rng_unit(rng), low, high);
}

static double draw_log_between(const struct space_parameter *p, struct rng *rng)
{
	return clip(exp(draw_between(rng, log(p->low), log(p->high))), p->low, p->high);
}

static double draw_number(const struct space_parameter *p, struct rng *rng)
{
	switch (p->type) {
	case SPACE_UNIFORM:
		return draw_between(rng, p->low, p->high);
	case SPACE_QUNIFORM:
		return clip(to_multiple(draw_between(rng, p->low, p->high), p->step), p->low, p->high);
	case SPACE_LOGUNIFORM:
		return draw_log_between(p, rng);
	case SPACE_QLOGUNIFORM:
		return clip(to_multiple(draw_log_between(p, rng), p->step), p->low, p->high);
	case SPACE_NORMAL:
		return p->mean + p->deviation * rng_normal(rng);
	case SPACE_QNORMAL:
		return to_multiple(p->mean + p->deviation * rng_normal(rng), p->step);
	case SPACE_LOGNORMAL:
		return exp(p->mean + p->deviation * rng_normal(rng));
	case SPACE_QLOGNORMAL:
		return to_multiple(exp(p->mean + p->deviation * rng_normal(rng)), p->step);
	default:
		return p->low + (double)rng_below(rng, (uint64_t)(p->high - p->low));
	}
}

json_t *space_draw_option(const struct space_option *option, struct rng *rng)
{
	json_t *value;

	if (!option->below)
		return json_deep_copy(option->value);
	value = space_draw(option->below, rng);
	if (value && json_object_set(value, "_name", option->value)) {
		json_decref(value);
		return NULL;
	}
	return value;
}

json_t *space_draw_value(const struct space_parameter *parameter, struct rng *rng)
{
	double number;

	if (parameter->type == SPACE_CHOICE)
		return space_draw_option(&parameter->options[rng_below(rng, parameter->option_count)], rng);
	number = draw_number(parameter, rng);
	return parameter->type == SPACE_RANDINT ? json_integer((json_int_t)number) : json_real(number);
}

json_t *space_draw(const struct space *space, struct rng *rng)
{
	json_t *assignment = json_object();

	for (size_t i = 0; assignment && i < space->count; i++)
		if (json_object_set_new(assignment, space->parameters[i].name,
					space_draw_value(&space->parameters[i], rng))) {
			json_decref(assignment);
			return NULL;
		}
	return assignment;
}

/* 1 and 1.0 are the same number; what wrote the value may have turned one into the other. */
static bool same(const json_t *a, const json_t *b)
{
	if (json_is_number(a) && json_is_number(b))
		return json_number_value(a) == json_number_value(b);
	return json_equal((json_t *)a, (json_t *)b);
}

size_t space_option_of(const struct space_parameter *parameter, const json_t *value)
{
	const json_t *name = json_object_get(value, "_name");

	for (size_t i = 0; i < parameter->option_count; i++) {
		const struct space_option *option = &parameter->options[i];

		if (option->below ? name && json_equal((json_t *)name, option->value) : same(value, option->value))
			return i;
	}
	return SIZE_MAX;
}
