/* The graph of a lineage, and how it is told: tree, dot, JSON, page. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../../tools/sealctl/lineage.h"

static size_t add(struct lineage *lineage, const char *path, enum lineage_standing standing, enum state_kind now)
{
	struct lineage_node node = {.where = strdup("/e"), .path = strdup(path), .standing = standing, .now = now};
	size_t index;

	node.has_root = standing != LINEAGE_PRESENT || now == STATE_SEALED;
	digest_sha256(path, strlen(path), &node.root);
	if (standing == LINEAGE_PRESENT && now == STATE_SEALED) {
		node.has_seal = true;
		node.trial = strdup("t");
		node.host = strdup("h");
		node.bytes = 5;
	}
	assert_int_equal(lineage_add(lineage, &node, &index), 0);
	return index;
}

static size_t add_sealed(struct lineage *lineage, const char *path)
{
	return add(lineage, path, LINEAGE_PRESENT, STATE_SEALED);
}

/* a and b; c of both; d of c and of what is gone. */
static void family(struct lineage *lineage)
{
	size_t a = add_sealed(lineage, "a"), b = add_sealed(lineage, "b"), c = add_sealed(lineage, "c");
	size_t d = add_sealed(lineage, "d"), gone = add(lineage, "x", LINEAGE_GONE, STATE_ABSENT);

	add(lineage, "o", LINEAGE_PRESENT, STATE_OPEN);
	assert_int_equal(lineage_link(lineage, a, c), 0);
	assert_int_equal(lineage_link(lineage, b, c), 0);
	assert_int_equal(lineage_link(lineage, c, d), 0);
	assert_int_equal(lineage_link(lineage, gone, d), 0);
}

/* What a printer prints; freed by the caller. */
static char *printed(int (*print)(FILE *stream, const struct lineage *lineage), const struct lineage *lineage)
{
	char *text;
	size_t size;
	FILE *stream = open_memstream(&text, &size);

	assert_int_equal(print(stream, lineage), 0);
	fclose(stream);
	return text;
}

static int print_forest(FILE *stream, const struct lineage *lineage)
{
	return lineage_print_forest(stream, lineage, "/e");
}

static int print_ancestors_of_d(FILE *stream, const struct lineage *lineage)
{
	return lineage_print_ancestors(stream, lineage, 3);
}

/* Without what stands behind the path. */
static void expect_paths(char *text, const char *expected)
{
	char shortened[4096] = "";

	for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n")) {
		char *end = strstr(line, "  sealed");

		if (end)
			*end = '\0';
		strcat(strcat(shortened, line), "\n");
	}
	assert_string_equal(shortened, expected);
	free(text);
}

static void nodes_are_found_by_what_they_are(void **state)
{
	struct lineage lineage = {0};
	struct digest root;

	digest_sha256("a", 1, &root);
	assert_true(lineage_find(&lineage, "/e", "a", NULL) == SIZE_MAX);
	family(&lineage);
	assert_int_equal(lineage_find(&lineage, "/e", "a", NULL), 0);
	assert_true(lineage_find(&lineage, "/other", "a", NULL) == SIZE_MAX);
	/* what is listed is another node than what is there */
	assert_true(lineage_find(&lineage, "/e", "a", &root) == SIZE_MAX);
	digest_sha256("x", 1, &root);
	assert_int_equal(lineage_find(&lineage, "/e", "x", &root), 4);
	assert_true(lineage_find(&lineage, "/e", "x", NULL) == SIZE_MAX);
	lineage_free(&lineage);
}

static void links_are_made_once_and_never_to_itself(void **state)
{
	struct lineage lineage = {0};
	size_t a = add_sealed(&lineage, "a"), old = add(&lineage, "b", LINEAGE_REPLACED, STATE_SEALED);

	for (int i = 0; i < 3; i++) {
		assert_int_equal(lineage_link(&lineage, a, a), 0);
		assert_int_equal(lineage_link(&lineage, old, a), 0);
	}
	assert_int_equal(lineage.nodes[a].parents.count, 1);
	assert_int_equal(lineage.nodes[old].children.count, 1);
	assert_int_equal(lineage.replaced, 1);
	lineage_free(&lineage);
}

static void tree_shows_each_node_once(void **state)
{
	struct lineage lineage = {0};

	family(&lineage);
	expect_paths(printed(print_forest, &lineage), "a\n└─ c\n   └─ d\nb\n└─ c  (see above)\n"
						      "x  gone  sha256:2d711642b726…\n└─ d  (see above)\no  open\n");
	expect_paths(printed(print_ancestors_of_d, &lineage),
		     "d\n├─ c\n│  ├─ a\n│  └─ b\n└─ x  gone  sha256:2d711642b726…\n");
	lineage_free(&lineage);
}

static void circles_and_long_chains_end(void **state)
{
	struct lineage lineage = {0};
	char *text, name[32];

	add_sealed(&lineage, "a");
	add_sealed(&lineage, "b");
	assert_int_equal(lineage_link(&lineage, 0, 1), 0);
	assert_int_equal(lineage_link(&lineage, 1, 0), 0);
	expect_paths(printed(print_forest, &lineage), "a\n└─ b\n   └─ a  (see above)\n");
	free(printed(lineage_print_page, &lineage));
	lineage_free(&lineage);
	for (size_t i = 0; i < 2000; i++) {
		sprintf(name, "t%zu", i);
		add_sealed(&lineage, name);
		if (i)
			assert_int_equal(lineage_link(&lineage, i - 1, i), 0);
	}
	text = printed(print_forest, &lineage);
	assert_non_null(strstr(text, "└─ t1999  sealed"));
	free(text);
	lineage_free(&lineage);
}

static void dot_is_quoted(void **state)
{
	struct lineage lineage = {0};
	char *text;

	add_sealed(&lineage, "a\"\\ \n\xff");
	add(&lineage, "b", LINEAGE_REPLACED, STATE_SEALED);
	assert_int_equal(lineage_link(&lineage, 1, 0), 0);
	text = printed(lineage_print_dot, &lineage);
	assert_non_null(strstr(text, "\tn0 [label=\"a\\\"\\\\x5c\\\\x20\\\\x0a\\\\xff\\nsealed sha256:"));
	assert_non_null(strstr(text, "\tn1 [label=\"b\\nreplaced since sha256:"));
	assert_non_null(strstr(text, "\tn1 -> n0 [style=dashed];\n"));
	free(text);
	lineage_free(&lineage);
}

static void json_names_parents_by_id(void **state)
{
	struct lineage lineage = {0};
	json_t *json, *d, *parents;

	family(&lineage);
	json = lineage_json(&lineage);
	assert_true(json_is_true(json_object_get(json, "ok")));
	d = json_array_get(json_object_get(json, "nodes"), 3);
	assert_string_equal(json_string_value(json_object_get(d, "state")), "sealed");
	parents = json_object_get(d, "parents");
	assert_int_equal(json_array_size(parents), 2);
	assert_int_equal(json_integer_value(json_object_get(json_array_get(parents, 0), "id")), 2);
	assert_string_equal(json_string_value(json_object_get(json_array_get(parents, 0), "standing")), "good");
	assert_string_equal(json_string_value(json_object_get(json_array_get(parents, 1), "standing")), "gone");
	json_decref(json);
	lineage_free(&lineage);
}

static size_t count(const char *text, const char *what)
{
	size_t found = 0;

	for (; (text = strstr(text, what)); text++)
		found++;
	return found;
}

static void no_name_becomes_markup(void **state)
{
	static const char *const names[] = {"</script><script>alert(1)</script>", "<!--", "\"onload='x'", "&amp;",
					    "]]>\n\xff\xe2\x80", "a'b\"c</title></style></svg>"};
	struct lineage lineage = {0};
	char *text;

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		size_t index = add_sealed(&lineage, names[i]);
		struct lineage_node *node = &lineage.nodes[index];

		free(node->trial);
		node->trial = strdup(names[i]);
		node->metric = strdup(names[i]);
		node->damage = strdup(names[i]);
		assert_true(asprintf(&node->manifest, "sealfs manifest 1\n%s\n", "</script>") > 0);
		node->manifest_lines = 2;
	}
	text = printed(lineage_print_page, &lineage);
	assert_int_equal(count(text, "</script"), 2);
	assert_int_equal(count(text, "<script"), 2);
	assert_int_equal(count(text, "<!--"), 0);
	assert_int_equal(count(text, "</style"), 1);
	/* only in the data, where it is a quote within a string */
	assert_int_equal(count(text, "\"onload"), count(text, "\\\"onload"));
	/* path, trial, metric and damage of one, the manifest of each */
	assert_int_equal(count(text, "\\u003c/script\\u003e"), 4 * 2 + 6);
	assert_int_equal(count(text, "\xff"), 0);
	assert_int_equal(count(text, "<g class=\"node "), 6);
	free(text);
	lineage_free(&lineage);
}

static void root_digest_is_cut_with_a_mark(void **state)
{
	struct digest root;
	char text[LINEAGE_ROOT_SIZE];

	digest_sha256("", 0, &root);
	lineage_root(true, &root, 4, text);
	assert_string_equal(text, "sha256:e3b0…");
	lineage_root(true, &root, 64, text);
	assert_string_equal(text, "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
	lineage_root(false, &root, 64, text);
	assert_string_equal(text, "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nodes_are_found_by_what_they_are),
		cmocka_unit_test(links_are_made_once_and_never_to_itself),
		cmocka_unit_test(tree_shows_each_node_once),
		cmocka_unit_test(circles_and_long_chains_end),
		cmocka_unit_test(dot_is_quoted),
		cmocka_unit_test(json_names_parents_by_id),
		cmocka_unit_test(no_name_becomes_markup),
		cmocka_unit_test(root_digest_is_cut_with_a_mark),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
