/*
 * node_order.c - one order at a time, from whoever gives it to the control lcore and back.
 */
#include "node_order.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <time.h>

#include "node_internal.h"

enum { NAP_MS = 2 };

enum box_state {
    BOX_FREE, /* as calloc() leaves it */
    BOX_FILLING,
    BOX_PENDING,
    BOX_ABANDONED,
    BOX_ENDED,
    BOX_FORGOTTEN,
    BOX_EMPTYING,
};

static const char *const kinds[] = {[NODE_ORDER_PROMOTE] = "promote",
                                    [NODE_ORDER_DEMOTE] = "demote",
                                    [NODE_ORDER_FOLLOW] = "follow",
                                    [NODE_ORDER_REMOVE_MEMBER] = "members remove"};

/* Whether the box was in `from`; then it is in `to`, and what was written to it before that is seen. */
static bool moved(struct node_order_box *box, enum box_state from, enum box_state to)
{
    int expected = from;

    /* acquire: pairs with the releases below; release: what the one who leaves it has written. */
    return atomic_compare_exchange_strong_explicit(&box->state, &expected, (int)to, memory_order_acq_rel,
                                                   memory_order_relaxed);
}

static void leave_in(struct node_order_box *box, enum box_state state)
{
    atomic_store_explicit(&box->state, (int)state, memory_order_release); /* pairs with moved(), pending() */
}

/* ---- givers ---- */

static bool is_closed(const struct node_order_box *box)
{
    return atomic_load_explicit(&box->closed, memory_order_relaxed);
}

int node_order_begin(struct node *node, const struct node_order *order)
{
    struct node_order_box *box = &node->order;

    if (is_closed(box))
        return -ESHUTDOWN;
    if (moved(box, BOX_FORGOTTEN, BOX_FILLING))
        name_lookup_destroy(box->order.lookup); /* nobody else will */
    else if (!moved(box, BOX_FREE, BOX_FILLING))
        return -EBUSY;
    box->order = *order;
    leave_in(box, BOX_PENDING);
    return 0;
}

bool node_order_ended(struct node *node, struct node_order_answer *out)
{
    struct node_order_box *box = &node->order;

    if (!moved(box, BOX_ENDED, BOX_EMPTYING))
        return false;
    *out = box->answer;
    name_lookup_destroy(box->order.lookup);
    leave_in(box, BOX_FREE);
    return true;
}

static int64_t now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

int node_order_give(struct node *node, const struct node_order *order, unsigned timeout_ms,
                    struct node_order_answer *out)
{
    static const struct timespec nap = {.tv_nsec = NAP_MS * 1000000};
    struct node_order_box *box = &node->order;
    int64_t until_ms = now_ms() + timeout_ms;
    int failed = node_order_begin(node, order);

    if (failed != 0) {
        name_lookup_destroy(order->lookup);
        return failed;
    }
    while (!node_order_ended(node, out)) {
        failed = is_closed(box) ? -ESHUTDOWN : now_ms() >= until_ms ? -ETIMEDOUT : 0;
        /* If it ended at this very moment, its end is taken after all. */
        if (failed != 0 && moved(box, BOX_PENDING, BOX_ABANDONED))
            return failed;
        if (failed == 0)
            nanosleep(&nap, NULL);
    }
    return 0;
}

void node_order_close(struct node *node)
{
    atomic_store_explicit(&node->order.closed, true, memory_order_relaxed);
}

void node_order_stop(struct node *node)
{
    if (atomic_load_explicit(&node->order.state, memory_order_acquire) != BOX_FREE)
        name_lookup_destroy(node->order.order.lookup);
}

/* ---- the control lcore ---- */

const struct node_order *node_order_pending(struct node *node)
{
    struct node_order_box *box = &node->order;
    int state = atomic_load_explicit(&box->state, memory_order_acquire); /* pairs with leave_in() */

    if (state != BOX_PENDING && state != BOX_ABANDONED)
        return NULL;
    if (!box->seen) {
        box->seen = true;
        snprintf(box->told, sizeof box->told, "%s: under way", kinds[box->order.kind]);
        logger_line(&node->config.logger, LOG_LEVEL_INFO, "order: %s", kinds[box->order.kind]);
    }
    return &box->order;
}

struct name_lookup *node_order_swap_lookup(struct node *node, struct name_lookup *had)
{
    struct name_lookup *given = node->order.order.lookup;

    node->order.order.lookup = had;
    return given;
}

void node_order_end(struct node *node, bool ok, const char *format, ...)
{
    struct node_order_box *box = &node->order;
    const char *kind = kinds[box->order.kind];
    va_list arguments;

    box->answer.ok = ok;
    va_start(arguments, format);
    vsnprintf(box->answer.text, sizeof box->answer.text, format, arguments);
    va_end(arguments);
    snprintf(box->told, sizeof box->told, "%s: %s%.480s", kind, ok ? "" : "not done: ", box->answer.text);
    logger_line(&node->config.logger, ok ? LOG_LEVEL_INFO : LOG_LEVEL_WARNING, "order: %s", box->told);
    box->seen = false;
    if (!moved(box, BOX_PENDING, BOX_ENDED))
        leave_in(box, BOX_FORGOTTEN); /* ABANDONED: from there only this thread moves it */
}

const char *node_order_told(const struct node *node)
{
    return node->order.told;
}
