/*
 * test_store - walking, small files, trees
 */
#include "sealfs/store.h"

#include <dirent.h>

#include "scratch.h"

static struct scratch scratch;

static int setup(void **state)
{
	scratch_open(&scratch);
	return 0;
}

static int teardown(void **state)
{
	scratch_close(&scratch);
	return 0;
}

static void walking_follows_no_symlink_and_leaves_by_no_dots(void **state)
{
	static const struct {
		const char *path;
		int error;
	} cases[] = {
		{"", 0},
		{".", 0},
		{"a", 0},
		{"a/b", 0},
		{"a/none", -ENOENT},
		{"none/b", -ENOENT},
		{"link", -ENOTDIR},
		{"link/b", -ENOTDIR},
		{"..", -EINVAL},
		{"a/..", -EINVAL},
		{"a/../a", -EINVAL},
		{"a/./b", -EINVAL},
		{"/a", -EINVAL},
		{"a/", -EINVAL},
		{"a//b", -EINVAL},
		{"/", -EINVAL},
		{"file", -ENOTDIR},
		{"file/x", -ENOTDIR},
		{"a/out", -ENOTDIR},
	};
	char path[4096];

	scratch_mkdir(&scratch, "a");
	scratch_mkdir(&scratch, "a/b");
	scratch_write(&scratch, "file", "x");
	scratch_path(&scratch, "link", path);
	assert_int_equal(symlink("a", path), 0);
	scratch_path(&scratch, "a/out", path);
	assert_int_equal(symlink("/", path), 0);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		int fd = store_open_dir(&scratch.store, scratch.store.root, cases[i].path);

		if (cases[i].error)
			assert_int_equal(fd, cases[i].error);
		else
			assert_true(fd >= 0);
		if (fd >= 0)
			close(fd);
	}
}

static void component_of_255_bytes_is_walked_and_longer_refused(void **state)
{
	char name[300];
	int fd;

	memset(name, 'n', sizeof(name));
	name[255] = '\0';
	fd = store_make_dirs(&scratch.store, scratch.store.root, name, 0755);
	assert_true(fd >= 0);
	close(fd);
	name[255] = 'n';
	name[256] = '\0';
	assert_int_equal(store_open_dir(&scratch.store, scratch.store.root, name), -ENAMETOOLONG);
}

static void parent_is_opened_and_the_last_component_told(void **state)
{
	const char *last;
	int fd = store_open_parent(&scratch.store, scratch.store.root, "a/b", &last);
	struct stat st;

	assert_true(fd >= 0);
	assert_string_equal(last, "b");
	assert_int_equal(fstat(fd, &st), 0);
	assert_int_equal(st.st_ino, scratch_inode(&scratch, "a"));
	close(fd);
	assert_int_equal(store_open_parent(&scratch.store, scratch.store.root, "a/", &last), -EINVAL);
	assert_int_equal(store_open_parent(&scratch.store, scratch.store.root, "..", &last), -EINVAL);
	assert_int_equal(store_open_parent(&scratch.store, scratch.store.root, "/a", &last), -EINVAL);
	assert_int_equal(store_open_parent(&scratch.store, scratch.store.root, "link/b", &last), -ENOTDIR);
}

static void file_is_made_once_with_its_mode_and_replaced_only_on_wish(void **state)
{
	mode_t before = umask(077);
	char *text;
	size_t size;

	assert_int_equal(store_create_file(&scratch.store, scratch.store.root, "made", "one", 3, 0644, 0), 0);
	umask(before);
	assert_int_equal(scratch_mode(&scratch, "made"), 0644);
	assert_int_equal(store_create_file(&scratch.store, scratch.store.root, "made", "two", 3, 0644, 0), -EEXIST);
	assert_int_equal(store_read_file(&scratch.store, scratch.store.root, "made", 3, &text, &size), 0);
	assert_int_equal(size, 3);
	assert_string_equal(text, "one");
	free(text);
	assert_int_equal(store_create_file(&scratch.store, scratch.store.root, "made", "two", 3, 0644, 1), 0);
	assert_int_equal(store_read_file(&scratch.store, scratch.store.root, "made", 3, &text, &size), 0);
	assert_string_equal(text, "two");
	free(text);
}

static int count_temporary(void *arg, const char *name, unsigned char type, uint64_t ino)
{
	*(int *)arg += strncmp(name, ".tmp.", 5) == 0;
	return 0;
}

static void no_temporary_file_is_left(void **state)
{
	int count = 0;
	int fd = store_open_dir(&scratch.store, scratch.store.root, "");

	assert_int_equal(store_each_entry(&scratch.store, fd, count_temporary, &count), 0);
	assert_int_equal(count, 0);
	close(fd);
}

static void only_small_regular_files_are_read(void **state)
{
	char path[4096];
	char *text;
	size_t size;

	scratch_write(&scratch, "small", "12345");
	scratch_path(&scratch, "pipe", path);
	assert_int_equal(mkfifo(path, 0644), 0);
	scratch_path(&scratch, "to-small", path);
	assert_int_equal(symlink("small", path), 0);
	assert_int_equal(store_read_file(&scratch.store, scratch.store.root, "small", 5, &text, &size), 0);
	free(text);
	assert_int_equal(store_read_file(&scratch.store, scratch.store.root, "small", 4, &text, &size), -EFBIG);
	assert_int_equal(store_read_file(&scratch.store, scratch.store.root, "pipe", 9, &text, &size), -EINVAL);
	assert_int_equal(store_read_file(&scratch.store, scratch.store.root, "a", 9, &text, &size), -EINVAL);
	assert_int_equal(store_read_file(&scratch.store, scratch.store.root, "to-small", 9, &text, &size), -EINVAL);
	assert_int_equal(store_read_file(&scratch.store, scratch.store.root, "none", 9, &text, &size), -ENOENT);
}

static void directory_is_made_with_exactly_its_mode(void **state)
{
	mode_t before = umask(077);
	int fd = store_make_dir(&scratch.store, scratch.store.root, "shared", 01777);

	umask(before);
	assert_true(fd >= 0);
	close(fd);
	assert_int_equal(scratch_mode(&scratch, "shared"), 01777);
	/* One that is there stays as it is. */
	fd = store_make_dir(&scratch.store, scratch.store.root, "shared", 0755);
	assert_true(fd >= 0);
	close(fd);
	assert_int_equal(scratch_mode(&scratch, "shared"), 01777);
	assert_int_equal(store_make_dir(&scratch.store, scratch.store.root, "file", 0755), -ENOTDIR);
	assert_int_equal(store_make_dir(&scratch.store, scratch.store.root, "link", 0755), -ENOTDIR);
}

static int count_entry(void *arg, const char *name, unsigned char type, uint64_t ino)
{
	assert_string_not_equal(name, ".");
	assert_string_not_equal(name, "..");
	return ++*(int *)arg == 1500 ? 42 : 0;
}

static void all_entries_are_listed_each_time_from_the_start(void **state)
{
	char name[64];
	int fd, count;

	scratch_mkdir(&scratch, "many");
	for (int i = 0; i < 2000; i++) {
		snprintf(name, sizeof(name), "many/entry-with-a-longer-name-%d", i);
		scratch_write(&scratch, name, "");
	}
	fd = store_open_dir(&scratch.store, scratch.store.root, "many");
	for (int round = 0; round < 2; round++) {
		count = 2000;
		assert_int_equal(store_each_entry(&scratch.store, fd, count_entry, &count), 0);
		assert_int_equal(count, 4000);
	}
	count = 0;
	assert_int_equal(store_each_entry(&scratch.store, fd, count_entry, &count), 42);
	close(fd);
	assert_int_equal(store_remove_tree(&scratch.store, scratch.store.root, "many"), 0);
	assert_false(scratch_exists(&scratch, "many"));
}

static void tree_is_removed_whatever_is_in_it_and_symlinks_are_not_followed(void **state)
{
	char path[4096];
	char deep[4000] = "tree";

	scratch_mkdir(&scratch, "tree");
	scratch_mkdir(&scratch, "keep");
	scratch_write(&scratch, "keep/file", "x");
	scratch_path(&scratch, "tree/link", path);
	assert_int_equal(symlink("../keep", path), 0);
	scratch_path(&scratch, "tree/pipe", path);
	assert_int_equal(mkfifo(path, 0644), 0);
	for (int i = 0; i < 200; i++) {
		strcat(deep, "/d");
		scratch_mkdir(&scratch, deep);
	}
	strcat(deep, "/file");
	scratch_write(&scratch, deep, "x");
	assert_int_equal(store_remove_tree(&scratch.store, scratch.store.root, "tree"), 0);
	assert_false(scratch_exists(&scratch, "tree"));
	assert_true(scratch_exists(&scratch, "keep/file"));
	assert_int_equal(store_remove_tree(&scratch.store, scratch.store.root, "tree"), 0);
	assert_int_equal(store_remove_tree(&scratch.store, scratch.store.root, "keep/file"), 0);
	scratch_path(&scratch, "to-keep", path);
	assert_int_equal(symlink("keep", path), 0);
	assert_int_equal(store_remove_tree(&scratch.store, scratch.store.root, "to-keep"), 0);
	assert_true(scratch_exists(&scratch, "keep"));
}

static void tokens_are_32_hex_digits_and_differ(void **state)
{
	char one[STORE_TOKEN_SIZE], two[STORE_TOKEN_SIZE];

	store_token(one);
	store_token(two);
	assert_int_equal(strlen(one), 32);
	assert_int_equal(strspn(one, "0123456789abcdef"), 32);
	assert_string_not_equal(one, two);
}

static int link_whose_answer_is_lost(void *ctx, int olddir, const char *oldname, int newdir, const char *newname)
{
	int rc = store_system_ops.linkat(NULL, olddir, oldname, newdir, newname);

	return rc < 0 ? rc : *(int *)ctx;
}

static void lost_answer_of_a_link_is_recognised(void **state)
{
	static int errors[] = {-EEXIST, -EIO, -ESTALE};
	struct store_ops ops = store_system_ops;
	struct store store = {.ops = &ops, .root = scratch.store.root};

	ops.linkat = link_whose_answer_is_lost;
	for (size_t i = 0; i < 3; i++) {
		store.ctx = &errors[i];
		assert_int_equal(store_create_file(&store, store.root, "lost", "x", 1, 0644, 0), 0);
		/* The same answer is the truth when another file is there. */
		assert_int_equal(store_create_file(&store, store.root, "lost", "y", 1, 0644, 0), -EEXIST);
		assert_int_equal(store_remove_tree(&store, store.root, "lost"), 0);
	}
}

static int touches;

static int touch_while_the_clock_stands(void *ctx, int fd)
{
	return ++touches < 3 ? 0 : store_system_ops.touch(NULL, fd);
}

static int unlink_before_any_touch(void *ctx, int dirfd, const char *name, int flags)
{
	assert_int_equal(touches, 0);
	return store_system_ops.unlinkat(NULL, dirfd, name, flags);
}

static void change_over_nfs_ends_with_a_ctime_of_its_own(void **state)
{
	struct store_ops ops = store_system_ops;
	struct store store = {.ops = &ops, .root = scratch.store.root, .remote = true};

	ops.touch = touch_while_the_clock_stands;
	ops.unlinkat = unlink_before_any_touch;
	assert_int_equal(store_create_file(&store, store.root, "dated", "x", 1, 0644, 0), 0);
	assert_int_equal(touches, 3);
	store.remote = false;
	touches = 0;
	assert_int_equal(store_create_file(&store, store.root, "local", "x", 1, 0644, 0), 0);
	assert_int_equal(touches, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(walking_follows_no_symlink_and_leaves_by_no_dots),
		cmocka_unit_test(component_of_255_bytes_is_walked_and_longer_refused),
		cmocka_unit_test(parent_is_opened_and_the_last_component_told),
		cmocka_unit_test(file_is_made_once_with_its_mode_and_replaced_only_on_wish),
		cmocka_unit_test(only_small_regular_files_are_read),
		cmocka_unit_test(directory_is_made_with_exactly_its_mode),
		cmocka_unit_test(all_entries_are_listed_each_time_from_the_start),
		cmocka_unit_test(tree_is_removed_whatever_is_in_it_and_symlinks_are_not_followed),
		cmocka_unit_test(tokens_are_32_hex_digits_and_differ),
		cmocka_unit_test(lost_answer_of_a_link_is_recognised),
		cmocka_unit_test(no_temporary_file_is_left),
		cmocka_unit_test(change_over_nfs_ends_with_a_ctime_of_its_own),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
