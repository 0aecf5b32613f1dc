/*
 * run_corpus.c - the main() of a fuzz target where there is no libFuzzer: runs it once on the empty input and
 * once on every file named, or in every folder named. Exit 1 if there was no file or one could not be read.
 */
#include <dirent.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "fuzz.h"

/* Whether the file was run. Its bytes lie in a heap block of their exact size, for the address sanitizer. */
static bool run_file(const char *path)
{
    struct stat status;
    FILE *file = fopen(path, "rb");
    if (file == NULL || fstat(fileno(file), &status) != 0) {
        perror(path);
        if (file != NULL)
            fclose(file);
        return false;
    }
    size_t size = (size_t)status.st_size;
    uint8_t *data = malloc(size > 0 ? size : 1);
    bool whole = data != NULL && fread(data, 1, size, file) == size;
    fclose(file);
    if (whole)
        LLVMFuzzerTestOneInput(data, size);
    else
        fprintf(stderr, "%s: cannot be read\n", path);
    free(data);
    return whole;
}

static bool run_path(const char *path, unsigned *count)
{
    DIR *folder = opendir(path);
    if (folder == NULL) {
        (*count)++;
        return run_file(path);
    }
    bool good = true;
    struct dirent *entry;
    while ((entry = readdir(folder)) != NULL) {
        char file[4096];
        if (entry->d_name[0] == '.')
            continue;
        snprintf(file, sizeof file, "%s/%s", path, entry->d_name);
        good &= run_file(file);
        (*count)++;
    }
    closedir(folder);
    return good;
}

int main(int argc, char **argv)
{
    unsigned count = 0;
    bool good = true;
    LLVMFuzzerTestOneInput((const uint8_t *)"", 0);
    for (int i = 1; i < argc; i++)
        good &= run_path(argv[i], &count);
    printf("%u inputs\n", count);
    return good && count > 0 ? 0 : 1;
}
