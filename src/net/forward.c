#include "net/forward.h"

#include "base/error.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

/* Each takes its part off the front of *text. */

static bool take(const char **text, const char *word)
{
    size_t length = strlen(word);
    if (strncmp(*text, word, length))
        return false;
    *text += length;
    return true;
}

static bool take_address(const char **text, const char *otherwise, struct in_addr *address)
{
    char copy[INET_ADDRSTRLEN];
    size_t length = strcspn(*text, ":");
    if (length >= sizeof(copy))
        return false;
    memcpy(copy, *text, length);
    copy[length] = 0;
    *text += length;
    return inet_pton(AF_INET, length ? copy : otherwise, address) == 1;
}

static bool take_port(const char **text, uint16_t *port)
{
    char *end;
    if (**text < '0' || **text > '9')
        return false;
    unsigned long value = strtoul(*text, &end, 10);
    *text = end;
    *port = (uint16_t)value;
    return value >= 1 && value <= UINT16_MAX;
}

int net_forward_parse(struct net_forward *f, const char *text, struct guise_error *err)
{
    const char *at = text;
    *f = (struct net_forward){.udp = take(&at, "udp:")};
    if ((f->udp || take(&at, "tcp:")) && take_address(&at, "127.0.0.1", &f->host) && take(&at, ":") &&
        take_port(&at, &f->host_port) && take(&at, "-") && take_address(&at, "10.0.2.15", &f->guest) &&
        take(&at, ":") && take_port(&at, &f->guest_port) && !*at)
        return 0;
    return error_set(err, GUISE_E_USAGE,
                     "bad port forward \"%s\": expected tcp:[ADDRESS]:PORT-[ADDRESS]:PORT, or udp, "
                     "as in tcp::8022-:22",
                     text);
}
