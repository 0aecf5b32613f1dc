#include "name_lookup.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { NAME_BYTES = 254 };

struct name_lookup {
    char name[NAME_BYTES];
    struct in_addr fixed; /* the name is an address */
    bool is_address;
    sem_t asked;        /* one post a question, and one at the end */
    _Atomic bool ended; /* writer: who destroys it; reader: the thread */
    /* enum name_lookup_state. ASKED: `found` and `why` are the thread's, else the asker's; release in answer(), pairs with
     * acquire in name_lookup_take(). */
    _Atomic int state;
    struct in_addr found;
    char why[NAME_LOOKUP_ERROR_BYTES];
    _Atomic int users; /* the thread and the owner: the last one frees it */
};

static void leave(struct name_lookup *lookup)
{
    if (atomic_fetch_sub_explicit(&lookup->users, 1, memory_order_acq_rel) > 1)
        return;
    sem_destroy(&lookup->asked);
    free(lookup);
}

static void answer(struct name_lookup *lookup)
{
    static const struct addrinfo hints = {.ai_family = AF_INET, .ai_socktype = SOCK_STREAM};
    struct addrinfo *list = NULL;
    int failed = getaddrinfo(lookup->name, NULL, &hints, &list), error = errno;

    if (failed == 0) {
        struct sockaddr_in first;

        memcpy(&first, list->ai_addr, sizeof first);
        lookup->found = first.sin_addr;
        freeaddrinfo(list);
    } else {
        snprintf(lookup->why, sizeof lookup->why, "%s",
                 failed == EAI_SYSTEM ? strerrordesc_np(error) : gai_strerror(failed));
    }
    atomic_store_explicit(&lookup->state, failed == 0 ? NAME_LOOKUP_FOUND : NAME_LOOKUP_FAILED,
                          memory_order_release);
}

static void *run(void *argument)
{
    struct name_lookup *lookup = argument;

    for (;;) {
        while (sem_wait(&lookup->asked) != 0)
            ; /* EINTR */
        if (atomic_load_explicit(&lookup->ended, memory_order_relaxed))
            break;
        answer(lookup);
    }
    leave(lookup);
    return NULL;
}

bool name_lookup_is_name(const char *text)
{
    static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_";
    size_t length = strlen(text);

    return length > 0 && length < NAME_BYTES && strspn(text, allowed) == length;
}

struct name_lookup *name_lookup_create(const char *name, char *error, size_t error_bytes)
{
    struct name_lookup *lookup = calloc(1, sizeof *lookup);
    pthread_t thread;
    int failed;

    if (lookup == NULL || strlen(name) >= sizeof lookup->name) {
        snprintf(error, error_bytes, "%s",
                 lookup == NULL ? "not enough memory" : "the primary's name is too long");
        free(lookup);
        return NULL;
    }
    memcpy(lookup->name, name, strlen(name) + 1);
    lookup->is_address = inet_pton(AF_INET, name, &lookup->fixed) == 1;
    atomic_init(&lookup->users, lookup->is_address ? 1 : 2);
    sem_init(&lookup->asked, 0, 0);
    if (lookup->is_address)
        return lookup;
    failed = pthread_create(&thread, NULL, run, lookup);
    if (failed != 0) {
        snprintf(error, error_bytes, "no thread for names: %s", strerrordesc_np(failed));
        sem_destroy(&lookup->asked);
        free(lookup);
        return NULL;
    }
    pthread_detach(thread); /* the resolver may take half a minute: nobody waits for it at the end */
    return lookup;
}

void name_lookup_destroy(struct name_lookup *lookup)
{
    if (lookup == NULL)
        return;
    atomic_store_explicit(&lookup->ended, true, memory_order_relaxed); /* sem_post() orders it */
    sem_post(&lookup->asked);
    leave(lookup);
}

void name_lookup_ask(struct name_lookup *lookup)
{
    if (atomic_load_explicit(&lookup->state, memory_order_relaxed) == NAME_LOOKUP_ASKED)
        return;
    if (lookup->is_address) {
        lookup->found = lookup->fixed;
        atomic_store_explicit(&lookup->state, NAME_LOOKUP_FOUND, memory_order_relaxed);
        return;
    }
    atomic_store_explicit(&lookup->state, NAME_LOOKUP_ASKED, memory_order_relaxed);
    sem_post(&lookup->asked);
}

enum name_lookup_state name_lookup_take(struct name_lookup *lookup, struct address *out,
                                        char why[NAME_LOOKUP_ERROR_BYTES])
{
    enum name_lookup_state state =
        (enum name_lookup_state)atomic_load_explicit(&lookup->state, memory_order_acquire);

    if (state == NAME_LOOKUP_FOUND)
        *out = address_from_ip4(lookup->found.s_addr);
    if (state == NAME_LOOKUP_FAILED)
        memcpy(why, lookup->why, NAME_LOOKUP_ERROR_BYTES);
    if (state == NAME_LOOKUP_FOUND || state == NAME_LOOKUP_FAILED)
        atomic_store_explicit(&lookup->state, NAME_LOOKUP_IDLE, memory_order_relaxed);
    return state;
}
