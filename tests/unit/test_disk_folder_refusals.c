/*
 * test_disk_folder_refusals.c - who gets a folder: the lock that one process holds, what it left under way
 * when it was killed, and every refusal with what it says. What only root can try (other users, a filesystem
 * that is read-only) is skipped with a line otherwise.
 */
#include "disk_folder_fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>

enum { NOBODY = 65534 };

/* Opens it as that user in a process of its own: the result, and `error`. */
static int open_as(unsigned user, const char *at)
{
    struct answer {
        int result;
        char error[ERROR_BYTES];
    } *answer = mmap(NULL, sizeof *answer, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    int result;
    pid_t child = fork();

    if (child == 0) {
        struct disk_folder *opened;
        if (setgid(user) != 0 || setuid(user) != 0)
            _exit(1);
        answer->result = disk_folder_open(&opened, at, DISK_FOLDER_OWN, DISK_QUEUE_NONE, answer->error,
                                          sizeof answer->error);
        _exit(0);
    }
    CU_ASSERT(child > 0 && waitpid(child, &result, 0) == child && result == 0);
    result = answer->result;
    memcpy(error, answer->error, sizeof error);
    munmap(answer, sizeof *answer);
    return result;
}

static void check_refused(const char *at, int wanted, const char *says)
{
    int result = open_folder(at, DISK_FOLDER_OWN, DISK_QUEUE_NONE);

    CU_ASSERT_EQUAL(result, wanted);
    if (strstr(error, says) == NULL)
        printf("\n    got: %s\n", error);
    CU_ASSERT_PTR_NOT_NULL(strstr(error, says));
}

static void a_second_process_is_refused_and_told_the_first_ones_pid(void)
{
    int ready[2];
    char pid[32], byte;
    pid_t child;

    CU_ASSERT_EQUAL_FATAL(pipe(ready), 0);
    child = fork();
    if (child == 0) {
        if (open_folder(path, DISK_FOLDER_OWN, DISK_QUEUE_THREAD) == 0 && write(ready[1], "", 1) == 1)
            pause();
        _exit(1);
    }
    CU_ASSERT_EQUAL(read(ready[0], &byte, 1), 1);
    snprintf(pid, sizeof pid, "process %ld:", (long)child);
    check_refused(path, -EBUSY, pid);
    CU_ASSERT(kill(child, SIGKILL) == 0 && waitpid(child, NULL, 0) == child);
    own(DISK_QUEUE_NONE); /* what a killed process held is free */
    check_refused(path, -EBUSY, "is in use by process");
    close_folder(path);
    close(ready[0]);
    close(ready[1]);
}

/* The mark of a write that lives on, held by a process that has the file open but not the folder's lock. */
static void writes_that_a_killed_process_left_under_way_are_waited_for(void)
{
    struct flock mark = {.l_type = F_RDLCK, .l_whence = SEEK_SET};
    char file[128], byte;
    int ready[2], fd, status;
    pid_t child;

    own(DISK_QUEUE_NONE);
    int written = created("a", BLOCK);
    snprintf(file, sizeof file, "%s/a", path);
    fd = open(file, O_RDWR | O_CLOEXEC);
    CU_ASSERT(fcntl(fd, F_OFD_SETLK, &(struct flock){.l_type = F_WRLCK, .l_whence = SEEK_SET}) != 0);
    disk.call->close(disk.state, written);
    CU_ASSERT_EQUAL(fcntl(fd, F_OFD_SETLK, &(struct flock){.l_type = F_WRLCK, .l_whence = SEEK_SET}), 0);
    close(fd);
    disk_folder_close(folder);
    CU_ASSERT_EQUAL_FATAL(pipe(ready), 0);
    child = fork();
    if (child == 0) {
        fd = open(file, O_RDWR);
        if (fd < 0 || fcntl(fd, F_OFD_SETLK, &mark) != 0 || write(ready[1], "", 1) != 1)
            _exit(1);
        usleep(100 * 1000);
        _exit(pwrite(fd, "late", 4, 0) == 4 ? 0 : 1);
    }
    CU_ASSERT_EQUAL(read(ready[0], &byte, 1), 1);
    own(DISK_QUEUE_NONE);
    int again = disk.call->open(disk.state, "a", DISK_READ, 0);
    CU_ASSERT(disk.call->read(disk.state, again, 0, &byte, 1) == 1 && byte == 'l');
    CU_ASSERT(waitpid(child, &status, 0) == child && status == 0);
    close_folder(path);
    close(ready[0]);
    close(ready[1]);
}

static void what_cannot_be_its_folder_is_refused_with_what_to_do(void)
{
    char at[128], lock[140];

    check_refused("", -ENOENT, "name one");
    snprintf(at, sizeof at, "%s/missing/folder/", base);
    snprintf(lock, sizeof lock, "mkdir -p '%s/missing'", base);
    check_refused(at, -ENOENT, lock);

    snprintf(at, sizeof at, "%s/file", base);
    close(open(at, O_CREAT | O_WRONLY, 0600));
    check_refused(at, -ENOTDIR, "not a folder");
    snprintf(lock, sizeof lock, "%s/below", at);
    check_refused(lock, -ENOTDIR, "not a folder");
    CU_ASSERT_EQUAL(unlink(at), 0);

    CU_ASSERT(mkdir(path, 0700) == 0 && chmod(path, 0720) == 0);
    check_refused(path, -EPERM, "chmod go-w");
    CU_ASSERT_EQUAL(chmod(path, 0702), 0);
    check_refused(path, -EPERM, "(mode 0702)");
    CU_ASSERT_EQUAL(chmod(path, 0755), 0);
    snprintf(lock, sizeof lock, "%s/lock", path);
    CU_ASSERT_EQUAL(symlink("/etc/passwd", lock), 0);
    check_refused(path, -EINVAL, "not a plain file: remove it");
    CU_ASSERT(unlink(lock) == 0 && mkdir(lock, 0700) == 0);
    check_refused(path, -EINVAL, "not a plain file: remove it");
    CU_ASSERT(rmdir(lock) == 0 && mkfifo(lock, 0600) == 0);
    check_refused(path, -EINVAL, "not a plain file: remove it");
    CU_ASSERT_EQUAL(unlink(lock), 0);
    own(DISK_QUEUE_NONE);
    close_folder(path);
}

static void another_users_folder_is_refused(void)
{
    char at[128];

    if (geteuid() != 0) {
        printf("skipped: not root ");
        return;
    }
    CU_ASSERT(mkdir(path, 0755) == 0 && chmod(base, 0755) == 0);
    CU_ASSERT_EQUAL(open_as(NOBODY, path), -EPERM);
    CU_ASSERT_PTR_NOT_NULL(strstr(error, "belongs to user 0, this process to user 65534"));
    snprintf(at, sizeof at, "%s/new", path);
    CU_ASSERT_EQUAL(open_as(NOBODY, at), -EACCES);
    CU_ASSERT_PTR_NOT_NULL(strstr(error, "user 65534 has no permission"));
    CU_ASSERT_EQUAL(chown(path, NOBODY, NOBODY), 0);
    check_refused(path, -EPERM, "belongs to user 65534, this process to user 0");
    CU_ASSERT_EQUAL(open_as(NOBODY, path), 0);
    CU_ASSERT_EQUAL(chmod(path, 0500), 0);
    snprintf(at, sizeof at, "%s/lock", path);
    CU_ASSERT_EQUAL(unlink(at), 0);
    CU_ASSERT_EQUAL(open_as(NOBODY, path), -EACCES);
    CU_ASSERT_EQUAL(open_folder(path, DISK_FOLDER_READ, DISK_QUEUE_NONE), 0);
    disk_folder_close(folder);
    CU_ASSERT_EQUAL(rmdir(path), 0);
}

static void a_read_only_filesystem_is_refused(void)
{
    char at[128];

    if (!mounted("tmpfs", MS_RDONLY, "mode=0700"))
        return;
    check_refused(path, -EROFS, "mounted read-only");
    snprintf(at, sizeof at, "%s/new", path);
    check_refused(at, -EROFS, "mounted read-only");
    unmounted();
}

int main(void)
{
    CU_TestInfo tests[] = {
        {"a second process is refused, and told the first one's pid",
         a_second_process_is_refused_and_told_the_first_ones_pid},
        {"writes that a killed process left under way are waited for",
         writes_that_a_killed_process_left_under_way_are_waited_for},
        {"what cannot be its folder is refused with what to do",
         what_cannot_be_its_folder_is_refused_with_what_to_do},
        {"another user's folder is refused", another_users_folder_is_refused},
        {"a read-only filesystem is refused", a_read_only_filesystem_is_refused},
        CU_TEST_INFO_NULL,
    };

    return disk_folder_suite("disk_folder_refusals", tests);
}
