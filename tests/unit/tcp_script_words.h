/*
 * tcp_script_words.h - the words of one line of a script, taken from the left. The first error stays.
 */
#ifndef WILD_TEST_TCP_SCRIPT_WORDS_H
#define WILD_TEST_TCP_SCRIPT_WORDS_H

#include "tcp_script_internal.h"

enum { SCRIPT_WORDS_MAX = 32 };

struct reader {
    char *word[SCRIPT_WORDS_MAX];
    unsigned words, at;
    const char *error;
};

const char *reader_next(struct reader *reader); /* "": no more */
bool reader_take(struct reader *reader, const char *word);
uint64_t reader_number_of(struct reader *reader, const char *text);
uint64_t reader_number(struct reader *reader);
struct script_number reader_script_number(struct reader *reader, const char *text);
uint64_t reader_duration(struct reader *reader,
                         const char *text); /* ns; what follows ".." is not looked at */
void reader_options(struct reader *reader, struct script_options *out, char *text);
void reader_segment(struct reader *reader, struct script_segment *out);

#endif
