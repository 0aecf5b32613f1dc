/*
 * main.c - wild. Exit codes: 0 after SIGTERM, SIGINT or SIGHUP (and --help), 2 bad usage, 1 anything else;
 * always with one line on stderr that says why.
 */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "server.h"

enum { EXIT_USAGE = 2, EXIT_FAILED = 1 };
static_assert((int)SERVER_ERROR_BYTES >= (int)OPTIONS_ERROR_BYTES, "one buffer for both");

/* A stream that was closed must not become a device's descriptor: the log would be written into it. */
static void fill_standard_streams(void)
{
    int null;

    do
        null = open("/dev/null", O_RDWR);
    while (null >= 0 && null <= STDERR_FILENO);
    if (null >= 0)
        close(null);
}

/* Signals are read from a descriptor by the control loop; blocked before any thread exists. */
static int open_signals(void)
{
    struct sigaction hangup;
    sigset_t set;

    /* Whoever read the log may go away: that is no reason to stop. */
    signal(SIGPIPE, SIG_IGN);
    /* A limit on files' sizes (ulimit -f) is an error of the write, told as such. */
    signal(SIGXFSZ, SIG_IGN);

    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGUSR1); /* a snapshot, now */
    /* Under nohup the terminal's end means nothing; a blocked signal would be delivered though ignored. */
    if (sigaction(SIGHUP, NULL, &hangup) == 0 && hangup.sa_handler != SIG_IGN)
        sigaddset(&set, SIGHUP);
    if (sigprocmask(SIG_BLOCK, &set, NULL) != 0)
        return -1;
    return signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
}

int main(int argc, char **argv)
{
    struct options options;
    char error[SERVER_ERROR_BYTES];
    int signals;

    /* Neither core dumps nor debuggers of the same user may see keys. */
    prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
    fill_standard_streams();
    switch (options_parse(&options, argc, argv, environ, stdout, error)) {
    case OPTIONS_DONE:
        if (fflush(stdout) == 0 && !ferror(stdout))
            return 0;
        fprintf(stderr, "wild: cannot write to stdout: %s\n", strerror(errno));
        return EXIT_FAILED;
    case OPTIONS_WRONG:
        fprintf(stderr, "wild: %s\n", error);
        return EXIT_USAGE;
    case OPTIONS_RUN:
        break;
    }
    signals = open_signals();
    if (signals < 0) {
        fprintf(stderr, "wild: no descriptor for signals\n");
        options_wipe(&options);
        return EXIT_FAILED;
    }
    if (server_run(&options, signals, stdout, error, sizeof error) != 0) {
        fprintf(stderr, "wild: %s\n", error);
        return EXIT_FAILED;
    }
    close(signals);
    return 0;
}
