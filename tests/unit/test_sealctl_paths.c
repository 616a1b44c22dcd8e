/* What a path on sealctl's command line means: resolved without touching anything below a boundary. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "../../tools/sealctl/target_path.h"
#include "../../tools/sealctl/target_path.c"

/* A world of symlinks, with one boundary; looking at or below that is a fault. */
struct world {
	const char *boundary;
	const char *links[8][2];
	unsigned int touched_below;
};

static bool world_boundary(void *arg, const char *path)
{
	struct world *world = arg;

	return world->boundary && path_below(path, world->boundary);
}

static ssize_t world_readlink(void *arg, const char *path, char *buffer, size_t size)
{
	struct world *world = arg;

	world->touched_below += world->boundary && path_below(path, world->boundary);
	for (size_t i = 0; i < 8 && world->links[i][0]; i++) {
		if (strcmp(world->links[i][0], path))
			continue;
		strncpy(buffer, world->links[i][1], size);
		return (ssize_t)strlen(world->links[i][1]);
	}
	return -EINVAL;
}

static void expect(struct world *world, const char *cwd, const char *path, const char *expected)
{
	struct path_probe probe = {world_boundary, world_readlink, world};
	char *out = NULL;

	assert_int_equal(path_resolve(cwd, path, world ? &probe : NULL, &out), 0);
	assert_string_equal(out, expected);
	free(out);
}

static void path_is_made_absolute_and_normal(void **state)
{
	static const struct {
		const char *cwd, *path, *expected;
	} cases[] = {
		{"/home/u", "a", "/home/u/a"},
		{"/home/u", "./a//b/", "/home/u/a/b"},
		{"/home/u", "../x", "/home/x"},
		{"/home/u", "/x/y/", "/x/y"},
		{"/home/u", "/", "/"},
		{"/home/u", "../../..", "/"},
		{"/", "a", "/a"},
		{"/home/u", "/../../a", "/a"},
		{"/home/u", ".", "/home/u"},
		{"/home/u", "a/../b/./c", "/home/u/b/c"},
		{"/home/u", "...", "/home/u/..."},
		{"/home/u", "/.a", "/.a"},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		expect(NULL, cases[i].cwd, cases[i].path, cases[i].expected);
}

static void symlinks_above_a_mount_are_followed(void **state)
{
	struct world world = {
		"/mnt/seal", {{"/home/u/ck", "/mnt/seal/run1"}, {"/data", "mnt"}, {"/home/v", "u"}, {"/a", "b/c"}}, 0};

	expect(&world, "/home/u", "ck/t4", "/mnt/seal/run1/t4");
	expect(&world, "/", "data/seal/t1", "/mnt/seal/t1");
	expect(&world, "/home/u", "../v/ck/t", "/mnt/seal/run1/t");
	expect(&world, "/", "a/d", "/b/c/d");
	expect(&world, "/", "a/../d", "/b/d");
	assert_int_equal(world.touched_below, 0);
}

static void nothing_in_a_mount_is_touched(void **state)
{
	struct world world = {"/mnt/seal", {{"/mnt/seal/t1", "/elsewhere"}, {"/mnt/link", "/x"}}, 0};

	expect(&world, "/mnt/seal", "t1/a", "/mnt/seal/t1/a");
	expect(&world, "/mnt/seal/t1", "../t2/", "/mnt/seal/t2");
	expect(&world, "/mnt/seal/t1", ".", "/mnt/seal/t1");
	assert_int_equal(world.touched_below, 0);
	/* out of it again, links count again */
	expect(&world, "/mnt/seal/t1", "../../link/y", "/x/y");
}

static void loop_of_symlinks_is_an_error(void **state)
{
	struct world world = {NULL, {{"/a", "b"}, {"/b", "a"}}, 0};
	struct path_probe probe = {world_boundary, world_readlink, &world};
	char *out = NULL;

	assert_int_equal(path_resolve("/", "a/x", &probe, &out), -ELOOP);
}

static void below_tells_whole_components_only(void **state)
{
	assert_string_equal(path_below("/mnt/seal/a/b", "/mnt/seal"), "a/b");
	assert_string_equal(path_below("/mnt/seal", "/mnt/seal"), "");
	assert_string_equal(path_below("/mnt", "/"), "mnt");
	assert_string_equal(path_below("/", "/"), "");
	assert_null(path_below("/mnt/sealed", "/mnt/seal"));
	assert_null(path_below("/mnt", "/mnt/seal"));
}

static void depth_and_head_count_components(void **state)
{
	char *head;

	assert_int_equal(path_depth(""), 0);
	assert_int_equal(path_depth("a"), 1);
	assert_int_equal(path_depth("a/b/c"), 3);
	assert_string_equal(head = path_head("a/b/c", 2), "a/b");
	free(head);
	assert_string_equal(head = path_head("a/b", 5), "a/b");
	free(head);
	assert_string_equal(head = path_head("a/b", 0), "");
	free(head);
}

static void join_puts_one_slash(void **state)
{
	static const char *const cases[][3] = {
		{"/mnt", "a", "/mnt/a"}, {"/", "a", "/a"}, {"", "a", "a"}, {"a", "", "a"}, {"", "", ""}};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char *joined = path_join(cases[i][0], cases[i][1]);

		assert_string_equal(joined, cases[i][2]);
		free(joined);
	}
}

static const char mountinfo[] =
	"21 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw,errors=remount-ro\n"
	"40 21 0:44 / /mnt/nfs rw,relatime shared:7 - nfs4 srv:/x rw,vers=4.2,soft,local_lock=none\n"
	"41 21 0:50 / /mnt/se\\040al\\134x rw,nosuid,nodev - fuse.sealfs /mnt/nfs rw,user_id=0\n"
	"42 21 0:50 /exp1 /bind rw shared:3 master:2 - fuse.sealfs /mnt/nfs rw,user_id=0\n"
	"43 41 0:60 / /mnt/se\\040al\\134x/over rw - tmpfs tmpfs rw\n"
	"a line that is none\n"
	"44 21 0:70 / /twice rw - fuse.sealfs /e rw\n"
	"45 44 0:71 / /twice rw - tmpfs none rw\n";

static void assert_covered(const struct mount_table *table, const char *path, const char *type, const char *root)
{
	const struct mount_entry *entry = mount_table_cover(table, path);

	assert_non_null(entry);
	assert_string_equal(entry->type, type);
	assert_string_equal(entry->root, root);
}

static void longest_and_last_mount_covers(void **state)
{
	struct mount_table table;

	assert_int_equal(mount_table_parse(mountinfo, &table), 0);
	assert_int_equal(table.count, 7);
	assert_covered(&table, "/mnt/se al\\x/t1", "fuse.sealfs", "/");
	assert_covered(&table, "/mnt/se al\\x", "fuse.sealfs", "/");
	assert_covered(&table, "/mnt/se al\\xy", "ext4", "/");
	assert_covered(&table, "/mnt/se al\\x/over/t", "tmpfs", "/");
	assert_covered(&table, "/bind/t4", "fuse.sealfs", "/exp1");
	assert_covered(&table, "/twice/t", "tmpfs", "/");
	assert_covered(&table, "/", "ext4", "/");
	mount_table_free(&table);
}

static void mount_options_are_compared_whole(void **state)
{
	struct mount_table table;
	const struct mount_entry *nfs;

	assert_int_equal(mount_table_parse(mountinfo, &table), 0);
	nfs = mount_table_cover(&table, "/mnt/nfs/x");
	assert_true(mount_entry_has_option(nfs, "soft"));
	assert_true(mount_entry_has_option(nfs, "rw"));
	assert_true(mount_entry_has_option(nfs, "local_lock=none"));
	assert_false(mount_entry_has_option(nfs, "sof"));
	assert_false(mount_entry_has_option(nfs, "vers=4"));
	assert_false(mount_entry_has_option(nfs, "nolock"));
	mount_table_free(&table);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(path_is_made_absolute_and_normal),
		cmocka_unit_test(symlinks_above_a_mount_are_followed),
		cmocka_unit_test(nothing_in_a_mount_is_touched),
		cmocka_unit_test(loop_of_symlinks_is_an_error),
		cmocka_unit_test(below_tells_whole_components_only),
		cmocka_unit_test(depth_and_head_count_components),
		cmocka_unit_test(join_puts_one_slash),
		cmocka_unit_test(longest_and_last_mount_covers),
		cmocka_unit_test(mount_options_are_compared_whole),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
