#include "space.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>

#include "../sealctl/cleanup.h"

/* ---- the parameters that an assignment has ---- */

int space_each(const struct space *space, json_t *assignment, int (*each)(void *arg, const struct space_spot *spot),
	       void *arg)
{
	int result = 0;

	for (size_t i = 0; i < space->count && !result; i++) {
		struct space_spot spot = {&space->parameters[i], assignment};
		json_t *value = json_object_get(assignment, spot.parameter->name);
		size_t option;

		if (!value)
			continue;
		/* Before it is called: it may put another value in the place. */
		option = spot.parameter->type == SPACE_CHOICE ? space_option_of(spot.parameter, value) : SIZE_MAX;
		json_incref(value);
		result = each(arg, &spot);
		if (!result && option != SIZE_MAX && spot.parameter->options[option].below &&
		    json_object_get(assignment, spot.parameter->name) == value)
			result = space_each(spot.parameter->options[option].below, value, each, arg);
		json_decref(value);
	}
	return result;
}

struct spots {
	struct space_spot *list;
	size_t count;
};

static int add_spot(void *arg, const struct space_spot *spot)
{
	struct spots *spots = arg;
	struct space_spot *bigger = realloc(spots->list, (spots->count + 1) * sizeof(*bigger));

	if (!bigger)
		return -ENOMEM;
	spots->list = bigger;
	bigger[spots->count++] = *spot;
	return 0;
}

static json_t *value_at(const struct space_spot *spot)
{
	return json_object_get(spot->holder, spot->parameter->name);
}

static int put(const struct space_spot *spot, json_t *value)
{
	return json_object_set_new(spot->holder, spot->parameter->name, value) ? -ENOMEM : 0;
}

/* ---- another value ---- */

static bool can_differ(const struct space_parameter *parameter)
{
	if (parameter->type == SPACE_CHOICE)
		return parameter->option_count > 1;
	return parameter->type != SPACE_RANDINT || parameter->high - parameter->low > 1;
}

static int put_other_option(const struct space_spot *spot, struct rng *rng)
{
	const struct space_parameter *parameter = spot->parameter;
	size_t now = space_option_of(parameter, value_at(spot));
	size_t other = rng_below(rng, parameter->option_count - (now != SIZE_MAX));

	return put(spot, space_draw_option(&parameter->options[other + (other >= now)], rng));
}

#define DRAWS 64 /* a coarse distribution may give the same multiple again and again */

static int put_other(const struct space_spot *spot, struct rng *rng)
{
	if (spot->parameter->type == SPACE_CHOICE)
		return put_other_option(spot, rng);
	for (int i = 0;; i++) {
		json_t *value = space_draw_value(spot->parameter, rng);

		if (!value || i == DRAWS ||
		    json_number_value(value) != json_number_value(value_at(spot)))
			return put(spot, value);
		json_decref(value);
	}
}

/* ---- the neighbour of a number ---- */

static double clip(double value, double low, double high)
{
	return value < low ? low : value > high ? high : value;
}

/* Up or down by one step, as far as the range goes. `factor` is for continuous ones. */
static double neighbour(const struct space_parameter *p, double value, double factor, int direction)
{
	switch (p->type) {
	case SPACE_RANDINT:
		return clip(value + direction, p->low, p->high - 1);
	case SPACE_UNIFORM:
		return clip(value + direction * factor * (p->high - p->low), p->low, p->high);
	case SPACE_QUNIFORM:
	case SPACE_QLOGUNIFORM:
		return clip((round(value / p->step) + direction) * p->step, p->low, p->high);
	case SPACE_LOGUNIFORM:
		return clip(value * exp(direction * factor * log(p->high / p->low)), p->low, p->high);
	case SPACE_NORMAL:
		return value + direction * factor * p->deviation;
	case SPACE_LOGNORMAL:
		return value * exp(direction * factor * p->deviation);
	case SPACE_QLOGNORMAL:
		return fmax((round(value / p->step) + direction) * p->step, 0);
	default:
		return (round(value / p->step) + direction) * p->step;
	}
}

/* The value one step away; the same at the end of the range. */
static json_t *stepped(const struct space_spot *spot, struct rng *rng, double factor, int direction)
{
	const struct space_parameter *parameter = spot->parameter;
	const json_t *value = value_at(spot);
	double number;

	if (parameter->type == SPACE_CHOICE) {
		size_t now = space_option_of(parameter, value);

		if (now == SIZE_MAX)
			return space_draw_value(parameter, rng);
		if ((direction < 0 && now == 0) || (direction > 0 && now + 1 == parameter->option_count))
			return json_deep_copy(value);
		return space_draw_option(&parameter->options[direction < 0 ? now - 1 : now + 1], rng);
	}
	number = neighbour(parameter, json_number_value(value), factor, direction);
	return parameter->type == SPACE_RANDINT ? json_integer((json_int_t)number) : json_real(number);
}

/* ---- mutations and steps: one parameter at a time ---- */

/* Those that a change can change. `movable` decides. */
static int find_spots(const struct space *space, json_t *assignment, struct spots *all)
{
	size_t kept = 0;
	int error = space_each(space, assignment, add_spot, all);

	for (size_t i = 0; i < all->count; i++)
		if (can_differ(all->list[i].parameter))
			all->list[kept++] = all->list[i];
	all->count = kept;
	return error;
}

static void spots_free(struct spots *spots)
{
	free(spots->list);
}

json_t *space_mutate(const struct space *space, struct rng *rng, const json_t *assignment, unsigned int times)
{
	json_t *copy = json_deep_copy(assignment);
	int error = copy ? 0 : -ENOMEM;

	for (unsigned int i = 0; i < times && !error; i++) {
		CLEANUP(spots_free) struct spots spots = {0};

		error = find_spots(space, copy, &spots);
		if (!error && spots.count)
			error = put_other(&spots.list[rng_below(rng, spots.count)], rng);
	}
	if (!error)
		return copy;
	json_decref(copy);
	return NULL;
}

static bool has_order(const struct space_parameter *parameter)
{
	return parameter->type != SPACE_CHOICE || parameter->ordered;
}

static bool is_at_end(const struct space_spot *spot, struct rng *rng, double factor)
{
	json_auto_t *value = has_order(spot->parameter) ? stepped(spot, rng, factor, 1) : NULL;

	return value && json_equal(value, value_at(spot));
}

static void drop_ends(struct spots *spots, struct rng *rng, double factor)
{
	size_t kept = 0;

	for (size_t i = 0; i < spots->count; i++)
		if (!is_at_end(&spots->list[i], rng, factor))
			spots->list[kept++] = spots->list[i];
	spots->count = kept;
}

static int put_step(const struct space_spot *spot, struct rng *rng, double factor, bool grow)
{
	int direction = grow || rng_below(rng, 2) ? 1 : -1;
	json_t *value;

	if (!has_order(spot->parameter))
		return put_other_option(spot, rng);
	value = stepped(spot, rng, factor, direction);
	/* From the end of the range there is only one way. */
	if (value && !grow && json_equal(value, value_at(spot))) {
		json_decref(value);
		value = stepped(spot, rng, factor, -direction);
	}
	return put(spot, value);
}

json_t *space_step(const struct space *space, struct rng *rng, const json_t *assignment, unsigned int times,
		   double factor, bool grow)
{
	json_t *copy = json_deep_copy(assignment);
	int error = copy ? 0 : -ENOMEM;

	for (unsigned int i = 0; i < times && !error; i++) {
		CLEANUP(spots_free) struct spots spots = {0};

		error = find_spots(space, copy, &spots);
		/* What can not go up any more does not use a step up. */
		if (!error && grow)
			drop_ends(&spots, rng, factor);
		if (!error && spots.count)
			error = put_step(&spots.list[rng_below(rng, spots.count)], rng, factor, grow);
	}
	if (!error)
		return copy;
	json_decref(copy);
	return NULL;
}

/* ---- exploring ---- */

struct exploring {
	struct rng *rng;
	double factor, resample;
};

static int explore_one(void *arg, const struct space_spot *spot)
{
	const struct exploring *exploring = arg;

	if (rng_unit(exploring->rng) < exploring->resample)
		return put(spot, space_draw_value(spot->parameter, exploring->rng));
	return put(spot, stepped(spot, exploring->rng, exploring->factor, rng_below(exploring->rng, 2) ? 1 : -1));
}

json_t *space_perturb(const struct space *space, struct rng *rng, const json_t *assignment, double factor,
		      double resample)
{
	struct exploring exploring = {rng, factor, resample};
	json_t *copy = json_deep_copy(assignment);

	if (copy && space_each(space, copy, explore_one, &exploring)) {
		json_decref(copy);
		return NULL;
	}
	return copy;
}
