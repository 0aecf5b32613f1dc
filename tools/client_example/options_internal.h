/*
 * options_internal.h - what the files that read options share: the table of options, and one option's value.
 */
#ifndef WILD_EXAMPLE_OPTIONS_INTERNAL_H
#define WILD_EXAMPLE_OPTIONS_INTERNAL_H

#include "options.h"

#define ON(command) (1U << COMMAND_##command)
#define ANY         (~0U)

enum option_kind {
    KIND_FLAG,
    KIND_NUMBER,
    KIND_TEXT,
    KIND_SECRET,
    KIND_SECRET_FILE,
    KIND_INSECURE,
    KIND_TRANSPORT,
    KIND_VERSION,
    KIND_ENDPOINT, /* these three: which nodes */
    KIND_PRIMARY,
    KIND_REPLICA,
    KIND_PREFERENCE,
};

struct option_row {
    const char *name;
    enum option_kind kind;
    unsigned commands; /* that take it */
    void *target;
    uint64_t least, most;
    bool in_file; /* may stand in the configuration file, without its dashes */
};

/* Later ones win. */
enum source { SOURCE_NONE, SOURCE_FILE, SOURCE_ENVIRONMENT, SOURCE_ARGUMENTS };

struct parse {
    struct options *options;
    const struct option_row *rows;
    enum source source;
    enum source secret_from, endpoint_from, primary_from, replicas_from; /* what is known so far */
    uint64_t timeout_ms;
    unsigned used_by; /* the commands that all options of argv belong to */
};

__attribute__((format(printf, 1, 2))) int usage(const char *format, ...);
const struct option_row *option_find(const struct option_row *rows, const char *name, size_t length);
/* `value` stays where it is, except that a secret's bytes are overwritten. */
int option_set(struct parse *parse, const struct option_row *row, char *value);
bool number_read(const char *text, uint64_t least, uint64_t most, uint64_t *out);
/* Copies text to where it stays; NULL: there is too much of it. */
char *text_keep(struct options *options, const char *text);

/* options_file.c */
int options_from_file(struct parse *parse, const char *path);
int options_from_environment(struct parse *parse);

#endif
