/*
 * test_kernel_ends.c - how streams over kernel sockets end, in every order: closed comes exactly once, is the
 * last event, and never from inside anything.
 */
#include "kernel_fixture.h"
#include "suite.h"

static struct fixture fixture;
static uint8_t big[1 << 20], came[1 << 20];

/* ---- in order ---- */

static void the_peer_ends_first_and_is_still_answered(void)
{
    struct record *record;
    uint8_t bytes[8];
    int outcome;
    fixture_start(&fixture, &(struct fixture_options){0});
    int fd = peer_open(&fixture, &record);
    CU_ASSERT_EQUAL(send(fd, "last", 4, 0), 4);
    CU_ASSERT_EQUAL(shutdown(fd, SHUT_WR), 0);
    FIXTURE_UNTIL(&fixture, record->ended == 1);
    CU_ASSERT_EQUAL(record->length, 4); /* before the end */
    fixture_settle(&fixture);
    CU_ASSERT_EQUAL(record->ended, 1);
    CU_ASSERT_EQUAL(record_send(record, (const uint8_t *)"reply", 5), 5);
    CU_ASSERT_EQUAL(peer_read(&fixture, fd, bytes, 5, &outcome), 5);
    CU_ASSERT_EQUAL(record->closed, 0);
    stream_close(record->stream);
    CU_ASSERT_EQUAL(record->closed, 0); /* not from inside close */
    peer_expect_end(&fixture, fd, 1);
    expect_closed(record, STREAM_END_CLOSED);
    CU_ASSERT_EQUAL(fixture_counter(&fixture, COUNTER_kernel_stream_closed), 1);
    CU_ASSERT_EQUAL(kernel_counts(fixture.worker[0]).streams, 0);
    close(fd);
    fixture_stop(&fixture);
}

static void we_end_first_and_still_receive(void)
{
    struct record *record;
    size_t room;
    fixture_start(&fixture, &(struct fixture_options){0});
    int fd = peer_open(&fixture, &record);
    stream_close(record->stream);
    stream_close(record->stream);
    CU_ASSERT_PTR_NULL(stream_reserve(record->stream, 1, &room));
    peer_expect_end(&fixture, fd, 1);
    CU_ASSERT_EQUAL(send(fd, "more", 4, 0), 4);
    FIXTURE_UNTIL(&fixture, record->length == 4);
    CU_ASSERT_EQUAL(record->writable, 0);
    CU_ASSERT_EQUAL(stream_unsent(record->stream), 0);
    close(fd);
    expect_closed(record, STREAM_END_CLOSED);
    CU_ASSERT_EQUAL(record->ended, 1);
    fixture_stop(&fixture);
}

static void close_sends_what_was_committed_first(void)
{
    struct record *record;
    int outcome;
    fixture_start(&fixture, &(struct fixture_options){.send_bytes_max = 1 << 20, .blocks_max = 512});
    int fd = peer_open(&fixture, &record);
    pattern_fill(big, 0, sizeof(big));
    CU_ASSERT_EQUAL(record_send(record, big, sizeof(big)), sizeof(big));
    stream_close(record->stream);
    fixture_settle(&fixture);
    CU_ASSERT_TRUE(kernel_counts(fixture.worker[0]).blocks > 0); /* the kernel did not take it all */
    CU_ASSERT_EQUAL(peer_read(&fixture, fd, came, sizeof(came), &outcome), sizeof(came));
    CU_ASSERT_EQUAL(memcmp(came, big, sizeof(big)), 0);
    peer_expect_end(&fixture, fd, 1);
    close(fd);
    expect_closed(record, STREAM_END_CLOSED);
    fixture_stop(&fixture);
}

static void the_end_comes_after_input_that_was_held(void)
{
    struct record *record;
    fixture_start(&fixture, &(struct fixture_options){0});
    fixture.orders.take_max = 2;
    int fd = peer_open(&fixture, &record);
    CU_ASSERT_EQUAL(send(fd, "abcd", 4, 0), 4);
    stream_close(record->stream);
    fixture_settle(&fixture);
    close(fd); /* both directions have ended, input is left */
    fixture_settle(&fixture);
    CU_ASSERT_EQUAL(record->received, 1);
    CU_ASSERT_EQUAL(record->ended + record->closed, 0);
    CU_ASSERT_EQUAL(fixture_turn(&fixture), 0); /* and nothing keeps the worker busy */
    stream_resume(record->stream);
    expect_closed(record, STREAM_END_CLOSED);
    CU_ASSERT_EQUAL(record->length, 4);
    CU_ASSERT_EQUAL(record->ended, 1);
    fixture_stop(&fixture);
}

static void a_peer_that_does_not_end_when_we_have_is_given_up(void)
{
    struct record *record;
    fixture_start(&fixture, &(struct fixture_options){0});
    int fd = peer_open(&fixture, &record);
    stream_close(record->stream);
    fixture_settle(&fixture);
    fixture.now.mono_ns += KERNEL_LINGER_NS / 2;
    CU_ASSERT_EQUAL(send(fd, "x", 1, 0), 1); /* alive: it has that long again */
    FIXTURE_UNTIL(&fixture, record->length == 1);
    fixture.now.mono_ns += KERNEL_LINGER_NS - 1;
    fixture_settle(&fixture);
    CU_ASSERT_EQUAL(record->closed, 0);
    fixture.now.mono_ns += 1 + FIXTURE_TICK_NS;
    expect_closed(record, STREAM_END_TIMED_OUT);
    CU_ASSERT_EQUAL(fixture_counter(&fixture, COUNTER_kernel_stream_timed_out), 1);
    close(fd);
    fixture_stop(&fixture);
}

static void a_peer_may_take_its_time_while_our_user_waits_for_it(void)
{
    for (unsigned how = 0; how < 2;
         how++) { /* with a deadline of its own, or with input that it holds back */
        struct record *record;
        fixture_start(&fixture, &(struct fixture_options){0});
        fixture.orders.take_max = how == 0 ? SIZE_MAX : 0;
        int fd = peer_open(&fixture, &record);
        stream_close(record->stream);
        if (how == 0)
            stream_set_deadline(record->stream, fixture.now.mono_ns + 100 * KERNEL_LINGER_NS);
        CU_ASSERT_EQUAL(send(fd, "x", 1, 0), 1);
        FIXTURE_UNTIL(&fixture, record->received == 1);
        for (unsigned i = 0; i < 5; i++) {
            fixture.now.mono_ns += KERNEL_LINGER_NS;
            fixture_settle(&fixture);
            CU_ASSERT_EQUAL(record->closed + record->expired, 0);
        }
        if (how == 0) {
            stream_set_deadline(record->stream, 0);
        } else {
            record->take_max = SIZE_MAX;
            stream_resume(record->stream);
            FIXTURE_UNTIL(&fixture, record->length == 1);
        }
        fixture.now.mono_ns += KERNEL_LINGER_NS + FIXTURE_TICK_NS;
        expect_closed(record, STREAM_END_TIMED_OUT);
        close(fd);
        fixture_stop(&fixture);
    }
}

/* ---- out of order ---- */

static void abort_resets_the_peer_at_once(void)
{
    struct record *record;
    size_t room;
    fixture_start(&fixture, &(struct fixture_options){0});
    int fd = peer_open(&fixture, &record);
    CU_ASSERT_EQUAL(record_send(record, big, 100), 100);
    stream_set_deadline(record->stream, fixture.now.mono_ns + 1);
    stream_abort(record->stream);
    CU_ASSERT_EQUAL(record->closed, 0); /* not from inside abort */
    /* until then everything may be called, and does nothing */
    CU_ASSERT_PTR_NULL(stream_reserve(record->stream, 1, &room));
    stream_commit(record->stream, 0);
    stream_resume(record->stream);
    stream_close(record->stream);
    stream_abort(record->stream);
    stream_set_deadline(record->stream, 1);
    CU_ASSERT_EQUAL(stream_unsent(record->stream), 0);
    peer_expect_end(&fixture, fd, -ECONNRESET); /* what was not sent yet is not sent */
    expect_closed(record, STREAM_END_ABORTED);
    CU_ASSERT_EQUAL(record->expired + record->writable, 0);
    CU_ASSERT_EQUAL(fixture_counter(&fixture, COUNTER_kernel_stream_aborted), 1);
    close(fd);
    fixture_stop(&fixture);
}

static void what_came_before_a_reset_is_delivered_before_it(void)
{
    struct record *record;
    fixture_start(&fixture, &(struct fixture_options){0});
    int fd = peer_open(&fixture, &record);
    CU_ASSERT_EQUAL(send(fd, "abc", 3, 0), 3);
    peer_reset(fd);
    expect_closed(record, STREAM_END_RESET);
    CU_ASSERT_EQUAL(record->length, 3);
    CU_ASSERT_EQUAL(record->ended, 0);
    CU_ASSERT_EQUAL(fixture_counter(&fixture, COUNTER_kernel_stream_reset), 1);
    fixture_stop(&fixture);
}

static void a_reset_ends_streams_whose_input_is_held_or_whose_output_waits(void)
{
    struct record *held, *slow;
    fixture_start(&fixture, &(struct fixture_options){.send_bytes_max = 1 << 20, .blocks_max = 512});
    fixture.orders.take_max = 0;
    int fd = peer_open(&fixture, &held);
    fixture.orders.take_max = SIZE_MAX;
    int fd2 = peer_open(&fixture, &slow);
    CU_ASSERT_EQUAL(send(fd, "abc", 3, 0), 3);
    CU_ASSERT_EQUAL(record_send(slow, big, sizeof(big)), sizeof(big));
    fixture_settle(&fixture);
    CU_ASSERT_EQUAL(held->received, 1);
    peer_reset(fd);
    peer_reset(fd2);
    expect_closed(held, STREAM_END_RESET);
    expect_closed(slow, STREAM_END_RESET);
    CU_ASSERT_EQUAL(kernel_counts(fixture.worker[0]).blocks, 0);
    fixture_stop(&fixture);
}

static void writing_to_a_peer_that_has_gone_is_a_reset_and_no_signal(void)
{
    struct record *record;
    fixture_start(&fixture, &(struct fixture_options){0});
    int fd = peer_open(&fixture, &record);
    close(fd);
    FIXTURE_UNTIL(&fixture, record->ended == 1);
    for (unsigned i = 0; i < 100 && record->stream != NULL; i++) {
        record_send(record, big, 1000);
        fixture_turn(&fixture);
    }
    expect_closed(record, STREAM_END_RESET);
    fixture_stop(&fixture);
}

/* ---- from inside events ---- */

static const char *do_it_in;
static void (*what_to_do)(struct stream *stream);

static void do_it(struct record *record, const char *event)
{
    if (strcmp(event, do_it_in) == 0) {
        record->fixture->inside++;
        what_to_do(record->stream);
        record->fixture->inside--;
    }
}

/* A stream in which every event happens, in one of which the service closes or aborts. */
static void end_inside(const char *event, void (*what)(struct stream *stream), enum stream_end end)
{
    struct record *record;
    do_it_in = event;
    what_to_do = what;
    fixture.orders = (struct record){.at = do_it, .take_max = 4};
    int fd = peer_open(&fixture, &record);
    if (record->stream != NULL) {
        record_send(record, big, sizeof(big));
        stream_set_deadline(record->stream, fixture.now.mono_ns);
        fixture.now.mono_ns += FIXTURE_TICK_NS;
    }
    send(fd, "abcdef", 6, MSG_NOSIGNAL);
    for (unsigned turns = 0; turns < FIXTURE_TURNS_MAX && record->expired == 0 && record->closed == 0;
         turns++)
        fixture_turn(&fixture);
    bool over = false; /* as the peer sees it */
    for (unsigned turns = 0;
         turns < FIXTURE_TURNS_MAX && !over && record->closed == 0 && record->writable == 0; turns++) {
        fixture_turn(&fixture);
        ssize_t n = recv(fd, came, 1000, 0);
        over = n == 0 || (n < 0 && errno != EAGAIN);
    }
    shutdown(fd, SHUT_WR);
    if (record->stream != NULL)
        stream_resume(record->stream);
    record->take_max = SIZE_MAX;
    fixture_settle(&fixture);
    if (record->stream != NULL && record->ended) /* else what we left would be answered by a reset */
        for (int outcome = 0; outcome == 0;)
            peer_read(&fixture, fd, came, sizeof(came), &outcome);
    close(fd);
    FIXTURE_UNTIL(&fixture, record->closed == 1);
    CU_ASSERT_EQUAL(record->end, end);
    fixture_settle(&fixture);
    CU_ASSERT_EQUAL(kernel_counts(fixture.worker[0]).streams, 0);
    CU_ASSERT_EQUAL(kernel_counts(fixture.worker[0]).blocks, 0);
}

static void a_service_may_close_or_abort_in_any_event(void)
{
    static const char *const events[] = {"accepted", "received", "ended", "writable", "expired"};
    fixture_start(&fixture, &(struct fixture_options){0});
    for (unsigned i = 0; i < 5; i++) {
        end_inside(events[i], stream_abort, STREAM_END_ABORTED);
        end_inside(events[i], stream_close, STREAM_END_CLOSED);
    }
    fixture_stop(&fixture);
}

static struct record *victim;

static void abort_victim(struct record *record, const char *event)
{
    if (strcmp(event, "closed") == 0 && victim != NULL && victim->stream != NULL && victim != record)
        stream_abort(victim->stream);
}

static void one_streams_end_may_end_another(void)
{
    struct record *first;
    fixture_start(&fixture, &(struct fixture_options){0});
    fixture.orders.at = abort_victim;
    int fd = peer_open(&fixture, &first);
    int fd2 = peer_open(&fixture, &victim);
    peer_reset(fd);
    expect_closed(first, STREAM_END_RESET);
    expect_closed(victim, STREAM_END_ABORTED);
    victim = NULL;
    close(fd2);
    fixture_stop(&fixture);
}

int main(void)
{
    CU_TestInfo tests[] = {
        {"the_peer_ends_first_and_is_still_answered", the_peer_ends_first_and_is_still_answered},
        {"we_end_first_and_still_receive", we_end_first_and_still_receive},
        {"close_sends_what_was_committed_first", close_sends_what_was_committed_first},
        {"the_end_comes_after_input_that_was_held", the_end_comes_after_input_that_was_held},
        {"a_peer_that_does_not_end_when_we_have_is_given_up",
         a_peer_that_does_not_end_when_we_have_is_given_up},
        {"a peer may take its time while our user waits for it",
         a_peer_may_take_its_time_while_our_user_waits_for_it},
        {"abort_resets_the_peer_at_once", abort_resets_the_peer_at_once},
        {"what_came_before_a_reset_is_delivered_before_it", what_came_before_a_reset_is_delivered_before_it},
        {"a_reset_ends_streams_whose_input_is_held_or_whose_output_waits",
         a_reset_ends_streams_whose_input_is_held_or_whose_output_waits},
        {"writing_to_a_peer_that_has_gone_is_a_reset_and_no_signal",
         writing_to_a_peer_that_has_gone_is_a_reset_and_no_signal},
        {"a_service_may_close_or_abort_in_any_event", a_service_may_close_or_abort_in_any_event},
        {"one_streams_end_may_end_another", one_streams_end_may_end_another},
        CU_TEST_INFO_NULL,
    };
    test_eal_start();
    return suite_run("kernel_ends", tests);
}
