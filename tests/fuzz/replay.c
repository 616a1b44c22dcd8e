/* replay FILE|DIRECTORY… - hands each file to the fuzz target that it is linked with. Prints how many there were; status 1 if none. */
#include <dirent.h>
#include <sys/stat.h>

#include "fuzz.h"

static unsigned int count;

static void replay_file(const char *path)
{
	FILE *file = fopen(path, "rb");
	uint8_t *data = malloc(1 << 20);
	size_t size;

	MUST(file && data);
	size = fread(data, 1, 1 << 20, file);
	fclose(file);
	/* of exactly its size, so that a sanitizer sees what reads beyond it */
	data = realloc(data, size ? size : 1);
	MUST(data);
	LLVMFuzzerTestOneInput(data, size);
	free(data);
	count++;
}

static void replay_directory(const char *path)
{
	DIR *directory = opendir(path);
	struct dirent *entry;
	char name[4096];

	MUST(directory);
	while ((entry = readdir(directory))) {
		if (*entry->d_name == '.')
			continue;
		snprintf(name, sizeof(name), "%s/%s", path, entry->d_name);
		replay_file(name);
	}
	closedir(directory);
}

int main(int argc, char **argv)
{
	struct stat st;

	for (int i = 1; i < argc; i++) {
		if (stat(argv[i], &st) != 0) {
			perror(argv[i]);
			return 1;
		}
		if (S_ISDIR(st.st_mode))
			replay_directory(argv[i]);
		else
			replay_file(argv[i]);
	}
	printf("%u inputs\n", count);
	return count == 0;
}
