#include "vm/list.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Makes room for one more string and the NULL after it. */
static bool list_reserve(struct list *list)
{
    if (list->count + 1 < list->capacity)
        return true;
    size_t capacity = list->capacity ? list->capacity * 2 : 16;
    char **items = realloc(list->items, capacity * sizeof(*items));
    if (!items)
        return false;
    list->items = items;
    list->capacity = capacity;
    return true;
}

bool list_start(struct list *list)
{
    if (!list_reserve(list))
        return false;
    list->items[list->count] = NULL;
    return true;
}

/* Takes `text`, which may be NULL: then memory was short already. */
static bool list_take(struct list *list, char *text)
{
    if (!text || !list_reserve(list)) {
        free(text);
        return false;
    }
    list->items[list->count++] = text;
    list->items[list->count] = NULL;
    return true;
}

bool list_add(struct list *list, const char *text)
{
    return list_take(list, strdup(text));
}

bool list_addf(struct list *list, const char *format, ...)
{
    char *text = NULL;
    va_list args;
    va_start(args, format);
    if (vasprintf(&text, format, args) < 0)
        text = NULL;
    va_end(args);
    return list_take(list, text);
}

/* The index of the variable whose name is the first `length` bytes of `name`, or list->count. */
static size_t list_findenv(const struct list *list, const char *name, size_t length)
{
    size_t i = 0;
    while (i < list->count && !(strncmp(list->items[i], name, length) == 0 && list->items[i][length] == '='))
        i++;
    return i;
}

bool list_setenv(struct list *list, const char *change)
{
    size_t length = strcspn(change, "=");
    size_t at = list_findenv(list, change, length);
    if (at == list->count)
        return change[length] == '\0' || list_add(list, change);
    if (change[length] == '=') {
        char *text = strdup(change);
        if (!text)
            return false;
        free(list->items[at]);
        list->items[at] = text;
        return true;
    }
    free(list->items[at]);
    memmove(&list->items[at], &list->items[at + 1], (list->count - at) * sizeof(list->items[0]));
    list->count--;
    return true;
}

const char *list_getenv(const struct list *list, const char *name)
{
    size_t length = strlen(name);
    size_t at = list_findenv(list, name, length);
    return at < list->count ? list->items[at] + length + 1 : NULL;
}

void list_release(struct list *list)
{
    for (size_t i = 0; i < list->count; i++)
        free(list->items[i]);
    free(list->items);
    *list = (struct list){0};
}
