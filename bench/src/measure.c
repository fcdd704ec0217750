/* measure RUNS OUTPUT COMMAND [ARG...]: runs a command several times, with standard output to OUTPUT (made anew by each
 * run) and standard error to OUTPUT.err, and prints for each run: user and system CPU seconds, wall seconds, largest
 * resident set in KiB, wait status. Small itself, because a child's resident set counts from before its exec. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static double seconds(struct timeval t)
{
    return (double)t.tv_sec + 1e-6 * (double)t.tv_usec;
}

static void redirect(const char *path, int to)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
    if (fd < 0 || dup2(fd, to) < 0)
        _exit(126);
    close(fd);
}

static void run(const char *output, const char *errors, char **command)
{
    struct rusage usage;
    int status;
    double start = now();
    pid_t child = fork();
    if (child == 0) {
        redirect(output, STDOUT_FILENO);
        redirect(errors, STDERR_FILENO);
        execv(command[0], command);
        _exit(127);
    }
    if (child < 0 || wait4(child, &status, 0, &usage) < 0) {
        perror("measure");
        exit(1);
    }
    printf("%.6f %.6f %.6f %ld %d\n", seconds(usage.ru_utime), seconds(usage.ru_stime), now() - start,
           usage.ru_maxrss, status);
}

int main(int argc, char **argv)
{
    char errors[4096];
    if (argc < 4) {
        fputs("usage: measure RUNS OUTPUT COMMAND [ARG...]\n", stderr);
        return 2;
    }
    snprintf(errors, sizeof(errors), "%s.err", argv[2]);
    for (int i = atoi(argv[1]); i > 0; i--) {
        fflush(stdout);
        run(argv[2], errors, argv + 3);
    }
    return 0;
}
