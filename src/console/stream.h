/* Consoles on descriptors of the host: the terminal that the monitor was started from, a new pseudo-terminal, a file,
 * nothing.
 *
 * Output goes into a buffer, from which the event loop writes: a slow reader holds the guest's output up, never a
 * hart. A pseudo-terminal that no one has open and a file that cannot be written lose it (the program ignores
 * SIGPIPE).
 *
 * Threads: made and released while the loop does not run; then as console.h says.
 * Lifetime: each opener returns an owned console; console_free() restores the terminal. The loop outlives it.
 * Source: termios(3), tty_ioctl(4), pts(4). */
#ifndef CONSOLE_STREAM_H
#define CONSOLE_STREAM_H

#include "console/console.h"
#include "host/loop.h"

#include <guise.h>

/* Keys that are meant for the monitor: the one after `key`. `key` twice is `key` for the guest. */
struct console_escape {
    uint8_t key; /* 0: none */
    void (*command)(void *object, uint8_t command);
    void *object;
};

enum { CONSOLE_ESCAPE_KEY = 0x1d }; /* Ctrl-] */

/* Descriptors for input and output, borrowed; -1: none. A terminal is put into raw mode and its window watched: for
 * that, this is called before other threads are made (it blocks SIGWINCH). `escape` (copied; may be NULL) counts on a
 * terminal alone. */
int console_open_stdio(struct console **out, struct loop *loop, int in, int output,
                       const struct console_escape *escape, struct guise_error *err);

/* A new pseudo-terminal; its name is in console_name(). */
int console_open_pty(struct console **out, struct loop *loop, struct guise_error *err);

/* Output goes to a file, which is emptied first; there is no input. */
int console_open_file(struct console **out, struct loop *loop, const char *path, struct guise_error *err);

/* "/dev/pts/3", or "". */
const char *console_name(const struct console *console);

#endif
