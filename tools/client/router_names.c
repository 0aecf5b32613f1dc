/*
 * router_names.c - the thread that looks names up: a name server may let it wait for long, and the health
 * checks of nodes whose addresses are known must not.
 */
#include <stdio.h>
#include <string.h>

#include "router.h"

static struct endpoint *next_wanted(struct wild_router *router)
{
    for (unsigned i = 0; i < router->endpoint_count; i++)
        if (router->endpoint[i]->name.wanted)
            return router->endpoint[i];
    return NULL;
}

static void *look_up_all(void *argument)
{
    struct wild_router *router = argument;
    pthread_mutex_lock(&router->lock);
    while (!atomic_load_explicit(&router->stop, memory_order_relaxed)) {
        struct endpoint *e = next_wanted(router);
        if (e == NULL) {
            pthread_cond_wait(&router->changed, &router->lock);
            continue;
        }
        struct name found = {.done = true};
        e->name.wanted = false;
        pthread_mutex_unlock(&router->lock);
        found.outcome = endpoint_resolve(e->text, router->pattern->carrier->socket_type, false,
                                         &found.addresses, found.why);
        pthread_mutex_lock(&router->lock);
        e->name = found;
        router_wake_monitor(router);
    }
    pthread_mutex_unlock(&router->lock);
    return NULL;
}

int router_look_up(struct wild_router *router, struct endpoint *e)
{
    int outcome = 0;
    pthread_mutex_lock(&router->lock);
    if (!router
             ->has_names) /* the first name; the monitor's thread has its signals blocked, and so has this */
        outcome = pthread_create(&router->names, NULL, look_up_all, router);
    if (outcome == 0) {
        router->has_names = true;
        e->name.wanted = true;
        pthread_cond_broadcast(&router->changed);
    }
    pthread_mutex_unlock(&router->lock);
    return outcome;
}

bool router_looked_up(struct wild_router *router, struct endpoint *e, struct name *out)
{
    pthread_mutex_lock(&router->lock);
    bool done = e->name.done;
    if (done) {
        *out = e->name;
        e->name.done = false;
    }
    pthread_mutex_unlock(&router->lock);
    return done;
}
