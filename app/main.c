/*
 * main.c - wild. Exit codes: 0 after SIGTERM or SIGINT (and --help), 2 bad usage, 1 anything else; always
 * with one line on stderr that says why.
 */
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "server.h"

enum { EXIT_USAGE = 2, EXIT_FAILED = 1 };

/* Signals are read from a descriptor by the control loop; blocked before any thread exists. */
static int open_signals(void)
{
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    if (sigprocmask(SIG_BLOCK, &set, NULL) != 0)
        return -1;
    return signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
}

int main(int argc, char **argv)
{
    struct options options;
    char error[OPTIONS_ERROR_BYTES];
    int signals;

    /* Neither core dumps nor debuggers of the same user may see keys. */
    prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
    switch (options_parse(&options, argc, argv, environ, stdout, error)) {
    case OPTIONS_DONE:
        return 0;
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
