/* What executing a path comes to: the file that really runs, after the #! lines of scripts have been followed.
 * Threads: none shared. Lifetime: program_find() ... program_release().
 * Source: execve(2), "Interpreter scripts"; execveat(2). */
#ifndef PROCESS_PROGRAM_H
#define PROCESS_PROGRAM_H

#include "process/path.h"

#define SCRIPT_DEPTH 5   /* scripts that are interpreters of scripts, as Linux */
#define SCRIPT_LINE  256 /* what Linux reads of a file */

/* The first line of a script, cut into strings. */
struct script_line {
    char text[SCRIPT_LINE];
    const char *name;     /* in text */
    const char *argument; /* in text, or NULL */
};

struct program {
    int fd; /* owned: the riscv64 program, open for reading; -1 when the host's kernel must look at `path` */
    int dirfd;            /* what `path` is relative to; AT_FDCWD for an interpreter */
    int flags;            /* as execveat() takes them, for `path` */
    char path[PATH_SIZE]; /* on the host */
    unsigned depth;       /* number of `lines`, the script's own first */
    struct script_line lines[SCRIPT_DEPTH];
};

/* Follows `path`, shorter than PATH_SIZE. `strict`: every file on the way must be one that may be executed, as for
 * execve(). Returns 0 or -errno; a file that is not for Guise is no error here. */
int program_find(struct program *program, const struct process *p, int dirfd, const char *path, int flags,
                 bool strict);
void program_release(struct program *program);

/* Would loading it get as far as the first instruction? 0, or the error of Linux's execve(). */
int program_check(const struct program *program, const struct process *p);

/* How many arguments the #! lines can add. */
#define PROGRAM_PREFIX (2 * SCRIPT_DEPTH + 1)

/* Puts what the #! lines say in front of the arguments `args`, where `script` takes the place of args[0]. Fills `to`, with
 * its NULL. */
void program_arguments(const struct program *program, const char *script, const char *const *args,
                       const char **to);

/* The path that execve() gives a monitor for a program that it found through a descriptor. */
#define PROGRAM_PASSED "/proc/self/fd/%d"

#endif
