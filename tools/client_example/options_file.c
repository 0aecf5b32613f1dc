/*
 * options_file.c - options from a file of `name = value` lines, and from the environment.
 */
#include <errno.h>
#include <ini.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "options_internal.h"

struct file_state {
    struct parse *parse;
    const char *path;
    int outcome;
};

static int take_entry(void *argument, const char *section, const char *name, const char *value)
{
    struct file_state *file = argument;
    char option[64];
    if (file->outcome != EXIT_DONE)
        return 1;
    int length = snprintf(option, sizeof(option), "--%s", name);
    const struct option_row *row = option_find(file->parse->rows, option, (size_t)length);
    if (section[0] != '\0')
        file->outcome = usage("%s: [%s]: there are no sections", file->path, section);
    else if (row != NULL && row->kind == KIND_SECRET)
        file->outcome =
            usage("%s: a secret does not stand in here: name its file, auth-secret-file = …", file->path);
    else if (row == NULL || !row->in_file)
        file->outcome = usage("%s: unknown option \"%.60s\"", file->path, name);
    else if ((row->kind == KIND_FLAG || row->kind == KIND_INSECURE) && strcmp(value, "true") != 0)
        file->outcome = usage("%s: %s is true, or not there", file->path, name);
    if (file->outcome != EXIT_DONE)
        return 1;
    char *kept = text_keep(file->parse->options, value);
    file->outcome = kept == NULL ? usage("%s: too long", file->path) : option_set(file->parse, row, kept);
    return 1;
}

int options_from_file(struct parse *parse, const char *path)
{
    struct file_state file = {.parse = parse, .path = path, .outcome = EXIT_DONE};
    parse->source = SOURCE_FILE;
    int line = ini_parse(path, take_entry, &file);
    if (file.outcome != EXIT_DONE)
        return file.outcome;
    if (line < 0)
        return usage("%s: %s", path, errno != 0 ? strerror(errno) : "cannot be read");
    return line == 0 ? EXIT_DONE : usage("%s: line %d is not `name = value`", path, line);
}

/* Overwritten in place, as far as the process can. */
static int take_secret(struct parse *parse, const struct option_row *row)
{
    char *secret = getenv("WILD_AUTH_SECRET");
    int outcome = secret != NULL ? option_set(parse, row, secret) : EXIT_DONE;
    unsetenv("WILD_AUTH_SECRET");
    return outcome;
}

static int take_variable(struct parse *parse, const char *variable, const char *option)
{
    const char *value = getenv(variable);
    if (value == NULL || *value == '\0')
        return EXIT_DONE;
    char *kept = text_keep(parse->options, value);
    return kept == NULL ? usage("%s is too long", variable)
                        : option_set(parse, option_find(parse->rows, option, strlen(option)), kept);
}

/* Blanks between them: commas belong to a replica's own options. */
static int take_replicas(struct parse *parse)
{
    const char *value = getenv("WILD_REPLICAS");
    char *kept = value != NULL ? text_keep(parse->options, value) : NULL, *rest = NULL;
    int outcome = value != NULL && kept == NULL ? usage("WILD_REPLICAS is too long") : EXIT_DONE;
    const struct option_row *row = option_find(parse->rows, "--replica", strlen("--replica"));
    for (char *one = kept != NULL ? strtok_r(kept, " \t\n", &rest) : NULL;
         one != NULL && outcome == EXIT_DONE; one = strtok_r(NULL, " \t\n", &rest))
        outcome = option_set(parse, row, one);
    return outcome;
}

int options_from_environment(struct parse *parse)
{
    static const struct {
        const char *variable, *option;
    } variables[] = {
        {"WILD_ENDPOINT", "--endpoint"},
        {"WILD_PRIMARY", "--primary"},
        {"WILD_AUTH_SECRET_FILE", "--auth-secret-file"},
        {"WILD_CLUSTER_NAME", "--cluster-name"},
        {"WILD_READ_PREFERENCE", "--read-preference"},
        {"WILD_TRANSPORT", "--transport"},
    };
    parse->source = SOURCE_ENVIRONMENT;
    int outcome = take_secret(parse, option_find(parse->rows, "--auth-secret", strlen("--auth-secret")));
    for (size_t i = 0; i < sizeof(variables) / sizeof(variables[0]) && outcome == EXIT_DONE; i++)
        outcome = take_variable(parse, variables[i].variable, variables[i].option);
    return outcome == EXIT_DONE ? take_replicas(parse) : outcome;
}
