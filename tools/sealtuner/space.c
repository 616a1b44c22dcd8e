#include "space.h"

#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../sealctl/cleanup.h"

#define INTEGER_MAX 9007199254740992.0 /* 2^53: beyond that doubles skip integers */

static int __attribute__((format(printf, 3, 4))) refuse(char **why, const char *name, const char *format, ...)
{
	AUTO_FREE char *text = NULL;
	va_list args;

	va_start(args, format);
	if (vasprintf(&text, format, args) < 0)
		text = NULL;
	va_end(args);
	if (!text || asprintf(why, "parameter '%s': %s", name, text) < 0)
		*why = NULL;
	return -EINVAL;
}

/* ---- the types ---- */

static int take_range(struct space_parameter *parameter, const double *v)
{
	parameter->low = v[0];
	parameter->high = v[1];
	return v[0] < v[1] ? 0 : -EINVAL;
}

static int take_integers(struct space_parameter *parameter, const double *v)
{
	if (v[0] != floor(v[0]) || v[1] != floor(v[1]) || fabs(v[0]) > INTEGER_MAX || fabs(v[1]) > INTEGER_MAX)
		return -EINVAL;
	return take_range(parameter, v);
}

static int take_positive_range(struct space_parameter *parameter, const double *v)
{
	return v[0] > 0 ? take_range(parameter, v) : -EINVAL;
}

static int take_bell(struct space_parameter *parameter, const double *v)
{
	parameter->mean = v[0];
	parameter->deviation = v[1];
	return v[1] > 0 ? 0 : -EINVAL;
}

static const struct {
	const char *name;
	unsigned int numbers; /* in _value; the third is the step */
	int (*take)(struct space_parameter *parameter, const double *values);
	const char *form;
} types[] = {
	[SPACE_CHOICE] = {"choice", 0, NULL, "[option, ...]"},
	[SPACE_RANDINT] = {"randint", 2, take_integers, "[low, high]: integers, low < high"},
	[SPACE_UNIFORM] = {"uniform", 2, take_range, "[low, high]: numbers, low < high"},
	[SPACE_QUNIFORM] = {"quniform", 3, take_range, "[low, high, q]: numbers, low < high, q > 0"},
	[SPACE_LOGUNIFORM] = {"loguniform", 2, take_positive_range, "[low, high]: numbers, 0 < low < high"},
	[SPACE_QLOGUNIFORM] = {"qloguniform", 3, take_positive_range, "[low, high, q]: numbers, 0 < low < high, q > 0"},
	[SPACE_NORMAL] = {"normal", 2, take_bell, "[mu, sigma]: numbers, sigma > 0"},
	[SPACE_QNORMAL] = {"qnormal", 3, take_bell, "[mu, sigma, q]: numbers, sigma > 0, q > 0"},
	[SPACE_LOGNORMAL] = {"lognormal", 2, take_bell, "[mu, sigma]: numbers, sigma > 0"},
	[SPACE_QLOGNORMAL] = {"qlognormal", 3, take_bell, "[mu, sigma, q]: numbers, sigma > 0, q > 0"},
};

#define TYPE_COUNT (sizeof(types) / sizeof(types[0]))

static size_t find_type(const char *name)
{
	for (size_t i = 0; name && i < TYPE_COUNT; i++)
		if (!strcmp(types[i].name, name))
			return i;
	return TYPE_COUNT;
}

static int parse_numbers(struct space_parameter *parameter, const json_t *list, const char *path, char **why)
{
	unsigned int wanted = types[parameter->type].numbers;
	double values[3] = {0, 0, 1};
	int error = json_array_size(list) == wanted ? 0 : -EINVAL;

	for (unsigned int i = 0; i < wanted && !error; i++) {
		const json_t *value = json_array_get(list, i);

		values[i] = json_number_value(value);
		if (!json_is_number(value) || !isfinite(values[i]))
			error = -EINVAL;
	}
	if (!error && wanted == 3 && values[2] <= 0)
		error = -EINVAL;
	parameter->step = values[2];
	if (!error)
		error = types[parameter->type].take(parameter, values);
	return error ? refuse(why, path, "the _value of '%s' is %s", types[parameter->type].name,
			      types[parameter->type].form)
		     : 0;
}

/* ---- options ---- */

static int parse_level(const json_t *json, const char *above, struct space **out, char **why);

/* An object with "_name" has parameters of its own; without, it is a value like any other. */
static int parse_option(const json_t *json, const char *path, struct space_option *option, char **why)
{
	json_t *name = json_object_get(json, "_name");
	AUTO_FREE char *inside = NULL;
	json_auto_t *rest = NULL;
	int error;

	if (!name) {
		option->value = json_deep_copy(json);
		return option->value ? 0 : -ENOMEM;
	}
	if (!json_is_string(name))
		return refuse(why, path, "the _name of an option is a string");
	option->value = json_incref(name);
	rest = json_copy((json_t *)json);
	if (!rest || asprintf(&inside, "%s/%s/", path, json_string_value(name)) < 0) {
		inside = NULL;
		return -ENOMEM;
	}
	json_object_del(rest, "_name");
	error = parse_level(rest, inside, &option->below, why);
	return error;
}

static void find_order(struct space_parameter *parameter)
{
	parameter->ordered = parameter->option_count > 1;
	for (size_t i = 0; i < parameter->option_count; i++) {
		const struct space_option *option = &parameter->options[i];

		if (!json_is_number(option->value) ||
		    (i && json_number_value(option[-1].value) >= json_number_value(option->value)))
			parameter->ordered = false;
	}
}

static int parse_options(struct space_parameter *parameter, const json_t *list, const char *path, char **why)
{
	size_t count = json_array_size(list);
	int error = 0;

	if (!count)
		return refuse(why, path, "the _value of 'choice' is %s, at least one", types[SPACE_CHOICE].form);
	parameter->options = calloc(count, sizeof(*parameter->options));
	if (!parameter->options)
		return -ENOMEM;
	parameter->option_count = count;
	for (size_t i = 0; i < count && !error; i++)
		error = parse_option(json_array_get(list, i), path, &parameter->options[i], why);
	if (!error)
		find_order(parameter);
	return error;
}

/* ---- parameters ---- */

static int parse_parameter(const json_t *json, const char *path, struct space_parameter *parameter, char **why)
{
	const char *type = json_string_value(json_object_get(json, "_type"));
	const json_t *value = json_object_get(json, "_value");
	size_t found = find_type(type);

	if (!type || !value)
		return refuse(why, path, "it is no object with \"_type\" and \"_value\"");
	if (found == TYPE_COUNT)
		return refuse(why, path, "there is no type '%s'; the types are those of NNI: choice, randint, [q]uniform, "
			      "[q]loguniform, [q]normal, [q]lognormal", type);
	parameter->type = (enum space_type)found;
	if (parameter->type == SPACE_CHOICE)
		return parse_options(parameter, value, path, why);
	return parse_numbers(parameter, value, path, why);
}

static int parse_member(const char *above, const char *name, const json_t *json, struct space *space, char **why)
{
	struct space_parameter *parameter = &space->parameters[space->count++];
	AUTO_FREE char *path = NULL;

	parameter->name = strdup(name);
	if (!parameter->name || asprintf(&path, "%s%s", above, name) < 0) {
		path = NULL;
		return -ENOMEM;
	}
	return parse_parameter(json, path, parameter, why);
}

static int parse_level(const json_t *json, const char *above, struct space **out, char **why)
{
	struct space *space = calloc(1, sizeof(*space));
	const char *name;
	json_t *member;
	int error = 0;

	*out = space;
	if (!space)
		return -ENOMEM;
	space->parameters = calloc(json_object_size(json) + 1, sizeof(*space->parameters));
	if (!space->parameters)
		return -ENOMEM;
	json_object_foreach((json_t *)json, name, member)
	{
		error = parse_member(above, name, member, space, why);
		if (error)
			break;
	}
	return error;
}

/* What sealtuner itself adds to the assignment. */
static int check_names(const struct space *space, char **why)
{
	static const char *const ours[] = {"save_path", "restore_path", "role"};

	for (size_t i = 0; i < space->count; i++)
		for (size_t j = 0; j < sizeof(ours) / sizeof(ours[0]); j++)
			if (!strcmp(space->parameters[i].name, ours[j]))
				return refuse(why, ours[j], "sealtuner itself gives trials one of this name; rename it");
	return 0;
}

int space_parse(const json_t *json, struct space **out, char **why)
{
	int error;

	*out = NULL;
	*why = NULL;
	if (!json_is_object(json)) {
		*why = strdup("a search space is an object with one member for each parameter");
		return -EINVAL;
	}
	error = parse_level(json, "", out, why);
	if (!error)
		error = check_names(*out, why);
	if (error) {
		space_free(*out);
		*out = NULL;
	}
	return error;
}

void space_free(struct space *space)
{
	if (!space)
		return;
	for (size_t i = 0; space->parameters && i < space->count; i++) {
		struct space_parameter *parameter = &space->parameters[i];

		for (size_t j = 0; j < parameter->option_count; j++) {
			json_decref(parameter->options[j].value);
			space_free(parameter->options[j].below);
		}
		free(parameter->options);
		free(parameter->name);
	}
	free(space->parameters);
	free(space);
}

/* ---- is an assignment one of this space? ---- */

static bool in_range(const struct space_parameter *parameter, const json_t *value)
{
	double number = json_number_value(value);

	if (!json_is_number(value))
		return false;
	switch (parameter->type) {
	case SPACE_RANDINT:
		return number == floor(number) && number >= parameter->low && number < parameter->high;
	case SPACE_UNIFORM:
	case SPACE_QUNIFORM:
	case SPACE_LOGUNIFORM:
	case SPACE_QLOGUNIFORM:
		return number >= parameter->low && number <= parameter->high;
	case SPACE_LOGNORMAL:
		return number > 0;
	default:
		return true;
	}
}

static int check_level(const struct space *space, const json_t *assignment, const char *above, char **why);

static int check_value(const struct space_parameter *parameter, const json_t *value, const char *path, char **why)
{
	AUTO_FREE char *inside = NULL;
	size_t option;

	if (!value)
		return refuse(why, path, "it has no value");
	if (parameter->type != SPACE_CHOICE)
		return in_range(parameter, value) ? 0 : refuse(why, path, "its value is not one of its '%s'",
							       types[parameter->type].name);
	option = space_option_of(parameter, value);
	if (option == SIZE_MAX)
		return refuse(why, path, "its value is none of its options");
	if (!parameter->options[option].below)
		return 0;
	if (asprintf(&inside, "%s/%s/", path, json_string_value(parameter->options[option].value)) < 0) {
		inside = NULL;
		return -ENOMEM;
	}
	return check_level(parameter->options[option].below, value, inside, why);
}

static int check_level(const struct space *space, const json_t *assignment, const char *above, char **why)
{
	int error = 0;

	for (size_t i = 0; i < space->count && !error; i++) {
		const struct space_parameter *parameter = &space->parameters[i];
		AUTO_FREE char *path = NULL;

		if (asprintf(&path, "%s%s", above, parameter->name) < 0) {
			path = NULL;
			return -ENOMEM;
		}
		error = check_value(parameter, json_object_get(assignment, parameter->name), path, why);
	}
	return error;
}

int space_check(const struct space *space, const json_t *assignment, char **why)
{
	*why = NULL;
	if (!json_is_object(assignment)) {
		*why = strdup("the parameters are no object");
		return -EINVAL;
	}
	return check_level(space, assignment, "", why);
}
