/* A whole guest program around a random stream: set-up, checkpoints, trap handler, output, and the ELF file.
 *
 * Threads: none. Lifetime: program_build() ... program_release(). */
#ifndef DIFF_PROGRAM_H
#define DIFF_PROGRAM_H

#include "stream.h"

#include <stdio.h>

struct program_config {
    struct stream_config stream;
    unsigned length;        /* items */
    unsigned chunk;         /* items between two checkpoints */
    unsigned passes;        /* how often the stream is run */
    bool sync;              /* every record is written at once: for programs that do not reach their end */
    const uint8_t *dropped; /* borrows; per item: nonzero when it is left out; or NULL */
};

struct program {
    struct text text;
    uint64_t entry;
    struct {
        uint64_t start, end;
    } * item; /* addresses of each item */
    unsigned records;
    unsigned executed[RV_ROW_COUNT];
    uint8_t data[0x3400]; /* initial contents from DATA_BASE on; what follows is zero */
};

void program_build(struct program *program, const struct program_config *config);
void program_release(struct program *program);

/* Writes the ELF file; returns 0 or -1 with errno. */
int program_write(const struct program *program, FILE *file);

#endif
