/* Lists of owned strings, always followed by a NULL, as argv and envp want them.
 * Threads: none. Lifetime: {0} is an empty list; list_release() frees it. */
#ifndef VM_LIST_H
#define VM_LIST_H

#include <stdbool.h>
#include <stddef.h>

struct list {
    char **items; /* NULL-terminated; NULL when nothing was ever added */
    size_t count, capacity;
};

/* Makes `items` a list even if nothing is ever added. False when memory is short. */
bool list_start(struct list *list);

/* Each adds a copy. False when memory is short. */
bool list_add(struct list *list, const char *text);
bool list_addf(struct list *list, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* An environment: NAME=VALUE sets, NAME removes. */
bool list_setenv(struct list *list, const char *change);
const char *list_getenv(const struct list *list, const char *name);

void list_release(struct list *list);

#endif
