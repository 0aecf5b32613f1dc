/*
 * test_kernel_deadlines.c - time over kernel sockets: deadlines of streams pass once, not before their time;
 * a worker's wait ends for them, for what was put off, and when another thread wakes it.
 */
#include <pthread.h>

#include "kernel_fixture.h"
#include "suite.h"

static struct fixture fixture;

/* ---- deadlines ---- */

static void again_at_once(struct record *record, const char *event)
{
    if (strcmp(event, "expired") == 0)
        stream_set_deadline(record->stream, 1);
}

static void a_deadline_passes_once_and_not_before_its_time(void)
{
    struct record *record;
    fixture_start(&fixture, &(struct fixture_options){0});
    int fd = peer_open(&fixture, &record);
    uint64_t at_ns = fixture.now.mono_ns + 5 * FIXTURE_MS;
    stream_set_deadline(record->stream, at_ns);
    fixture.now.mono_ns = at_ns - 1;
    fixture_settle(&fixture);
    CU_ASSERT_EQUAL(record->expired, 0);
    fixture.now.mono_ns = at_ns + FIXTURE_TICK_NS;
    fixture_turn(&fixture);
    CU_ASSERT_EQUAL(record->expired, 1);
    fixture.now.mono_ns += 1000 * FIXTURE_MS;
    fixture_settle(&fixture);
    CU_ASSERT_EQUAL(record->expired, 1); /* it is off */
    stream_set_deadline(record->stream, fixture.now.mono_ns + 1);
    stream_set_deadline(record->stream, 0);
    fixture.now.mono_ns += 1000 * FIXTURE_MS;
    fixture_settle(&fixture);
    CU_ASSERT_EQUAL(record->expired, 1);
    record->at = again_at_once; /* one that is set into the past comes once a tick */
    stream_set_deadline(record->stream, 1);
    for (unsigned i = 2; i < 6; i++) {
        fixture.now.mono_ns += FIXTURE_TICK_NS;
        fixture_turn(&fixture);
        fixture_turn(&fixture);
        CU_ASSERT_EQUAL(record->expired, i);
    }
    close(fd);
    fixture_stop(&fixture);
}

static void deadlines_of_many_streams_pass_each_at_its_time(void)
{
    enum { STREAMS = 50, ROUNDS = 400 };
    int fd[STREAMS];
    uint64_t due_ns[STREAMS] = {0}, entropy = seeded_start(seeded_from_environment(3));
    unsigned expired[STREAMS] = {0};
    fixture_start(&fixture, &(struct fixture_options){0});
    for (unsigned i = 0; i < STREAMS; i++) {
        struct record *record;
        fd[i] = peer_open(&fixture, &record);
    }
    for (unsigned round = 0; round < ROUNDS; round++) {
        for (unsigned n = 0; n < 10; n++) {
            unsigned i = (unsigned)seeded_below(&entropy, STREAMS);
            due_ns[i] = seeded_below(&entropy, 5) == 0
                            ? 0
                            : fixture.now.mono_ns + 1 + seeded_below(&entropy, 100 * FIXTURE_MS);
            stream_set_deadline(fixture.record[i].stream, due_ns[i]);
        }
        fixture.now.mono_ns += seeded_below(&entropy, 10 * FIXTURE_MS);
        kernel_turn(fixture.worker[0], fixture.now);
        for (unsigned i = 0; i < STREAMS; i++) {
            bool came_now = fixture.record[i].expired > expired[i];
            CU_ASSERT_TRUE(came_now ? due_ns[i] != 0 && due_ns[i] <= fixture.now.mono_ns
                                    : due_ns[i] == 0 || due_ns[i] + FIXTURE_TICK_NS > fixture.now.mono_ns);
            CU_ASSERT_EQUAL(fixture.record[i].expired, expired[i] + came_now);
            due_ns[i] = came_now ? 0 : due_ns[i];
            expired[i] = fixture.record[i].expired;
        }
    }
    for (unsigned i = 0; i < STREAMS; i++)
        close(fd[i]);
    fixture_stop(&fixture);
}

/* ---- waiting ---- */

static void *wake(void *worker)
{
    kernel_wake(worker);
    kernel_wake(worker);
    return NULL;
}

static void a_wait_ends_when_another_thread_wakes_the_worker(void)
{
    pthread_t thread;
    fixture_start(&fixture, &(struct fixture_options){0});
    for (unsigned round = 0; round < 3; round++) {
        CU_ASSERT_EQUAL(kernel_turn(fixture.worker[0], fixture.now), 0);
        CU_ASSERT_EQUAL_FATAL(pthread_create(&thread, NULL, wake, fixture.worker[0]), 0);
        kernel_wait(fixture.worker[0], 60 * 1000); /* a minute, if nobody woke it */
        CU_ASSERT_TRUE(kernel_turn(fixture.worker[0], fixture.now) > 0);
        pthread_join(thread, NULL);
        kernel_turn(fixture.worker[0], fixture.now); /* the second one may come after */
    }
    fixture_stop(&fixture);
}

static void a_wait_does_not_outlast_a_deadline_nor_hold_up_what_was_put_off(void)
{
    struct record *record;
    fixture_start(&fixture, &(struct fixture_options){0});
    fixture.orders.take_max = 0;
    int fd = peer_open(&fixture, &record);
    CU_ASSERT_EQUAL(send(fd, "x", 1, 0), 1);
    FIXTURE_UNTIL(&fixture, record->received == 1);
    fixture_settle(&fixture);
    stream_resume(record->stream);
    kernel_wait(fixture.worker[0], 3600 * 1000); /* not an hour */
    fixture_settle(&fixture);
    CU_ASSERT_EQUAL(record->received, 2);
    stream_set_deadline(record->stream, fixture.now.mono_ns + FIXTURE_MS / 2);
    kernel_wait(fixture.worker[0], 3600 * 1000);
    fixture.now.mono_ns += 2 * FIXTURE_TICK_NS;
    kernel_turn(fixture.worker[0], fixture.now);
    CU_ASSERT_EQUAL(record->expired, 1);
    close(fd);
    fixture_stop(&fixture);
}

int main(void)
{
    CU_TestInfo tests[] = {
        {"a_deadline_passes_once_and_not_before_its_time", a_deadline_passes_once_and_not_before_its_time},
        {"deadlines_of_many_streams_pass_each_at_its_time", deadlines_of_many_streams_pass_each_at_its_time},
        {"a_wait_ends_when_another_thread_wakes_the_worker",
         a_wait_ends_when_another_thread_wakes_the_worker},
        {"a_wait_does_not_outlast_a_deadline_nor_hold_up_what_was_put_off",
         a_wait_does_not_outlast_a_deadline_nor_hold_up_what_was_put_off},
        CU_TEST_INFO_NULL,
    };
    test_eal_start();
    return suite_run("kernel_deadlines", tests);
}
