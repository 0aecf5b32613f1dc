/*
 * replication_probe.c - a replica's reader: looks for every write, in the order of replication_test.h.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "load_values.h"
#include "replication_test.h"

#define MS_NS UINT64_C(1000000)

enum { SHOWN_MAX = 10, LOOKS_AT_ONCE = 100 };

enum found { FOUND_RIGHT, FOUND_WRONG, FOUND_NOT_YET, FOUND_NO_ANSWER };

uint64_t replication_now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * UINT64_C(1000000000) + (uint64_t)t.tv_nsec;
}

size_t replication_key(char out[REPLICATION_KEY_BYTES], uint32_t run, uint64_t number)
{
    return (size_t)snprintf(out, REPLICATION_KEY_BYTES, "replication-test:%08" PRIx32 ":%03" PRIu64, run,
                            number % REPLICATION_KEYS);
}

/* Any earlier write of the key, whole, is what a replica that is behind shows. */
static bool is_an_earlier_one(const struct replication *test, const struct wild_result *result,
                              uint64_t number)
{
    for (uint64_t earlier = number; earlier > REPLICATION_KEYS;) {
        earlier -= REPLICATION_KEYS;
        if (load_value_is(result->value, result->value_length, test->value_size, earlier % REPLICATION_KEYS,
                          (uint32_t)earlier, test->run))
            return true;
    }
    return false;
}

static enum found look(struct replication_reader *reader, const struct replication_write *write)
{
    const struct replication *test = reader->test;
    char key[REPLICATION_KEY_BYTES];
    size_t length = replication_key(key, test->run, write->number);
    struct wild_result result;
    switch (wild_get(reader->client, key, length, &result)) {
    case WILD_OK:
        if (load_value_is(result.value, result.value_length, test->value_size,
                          write->number % REPLICATION_KEYS, (uint32_t)write->number, test->run))
            return result.version == write->version ? FOUND_RIGHT : FOUND_WRONG;
        return is_an_earlier_one(test, &result, write->number) ? FOUND_NOT_YET : FOUND_WRONG;
    case WILD_NOT_FOUND:
        return FOUND_NOT_YET;
    default:
        return FOUND_NO_ANSWER; /* or STALE, BUSY: later */
    }
}

static void say(const struct replication_reader *reader, const struct replication_write *write,
                const char *what)
{
    if (reader->missing + reader->wrong <= SHOWN_MAX)
        fprintf(stderr, "replication-test: %s: write %" PRIu64 " (lsn %" PRIu64 ") %s\n", reader->endpoint,
                write->number, write->version, what);
}

static void count(struct replication_reader *reader, const struct replication_write *write, enum found found,
                  bool later_seen)
{
    switch (found) {
    case FOUND_RIGHT:
        reader->seen++;
        break;
    case FOUND_WRONG:
        reader->wrong++;
        say(reader, write, "is there with other contents or another version");
        break;
    case FOUND_NOT_YET:
    case FOUND_NO_ANSWER:
        *(later_seen ? &reader->wrong : &reader->missing) += 1;
        say(reader, write, later_seen ? "is not there, but a later one is" : "is missing");
        break;
    }
}

/* Until it is there, or the time is over. Often at first: lag is measured by it. */
static enum found look_until(struct replication_reader *reader, const struct replication_write *write,
                             uint64_t until_ns)
{
    for (unsigned looks = 1;; looks++) {
        enum found found = look(reader, write);
        if (found == FOUND_RIGHT || found == FOUND_WRONG || replication_now_ns() >= until_ns)
            return found;
        if (looks > LOOKS_AT_ONCE)
            nanosleep(&(struct timespec){.tv_nsec = 1000 * 1000}, NULL);
    }
}

static void read_burst(struct replication_reader *reader)
{
    const struct replication *test = reader->test;
    const struct replication_write *last = &test->burst[test->burst_count - 1];
    uint64_t until_ns = last->acknowledged_ns + (reader->gone ? 0 : test->wait_ns);
    enum found found = look_until(reader, last, until_ns);
    uint64_t now = replication_now_ns();
    bool there = found == FOUND_RIGHT || found == FOUND_WRONG;
    if (found == FOUND_RIGHT)
        histogram_record(&reader->lag, now - last->acknowledged_ns);
    reader->gone = !there;
    count(reader, last, found, false);
    for (unsigned i = 0; i + 1 < test->burst_count; i++)
        count(reader, &test->burst[i], there ? look_until(reader, &test->burst[i], 0) : found, there);
}

void *replication_read(void *argument)
{
    struct replication_reader *reader = argument;
    struct replication *test = reader->test;
    uint64_t read = 0;
    pthread_mutex_lock(&test->lock);
    while (!test->stop) {
        if (test->bursts == read) {
            pthread_cond_wait(&test->changed, &test->lock);
            continue;
        }
        read = test->bursts;
        pthread_mutex_unlock(&test->lock);
        read_burst(reader);
        pthread_mutex_lock(&test->lock);
        test->ready++;
        pthread_cond_broadcast(&test->changed);
    }
    pthread_mutex_unlock(&test->lock);
    return NULL;
}
