/* User and group ids. Inside a user namespace that has one id (config->fake_ids) the host cannot give up root for another
 * id, as package managers, login programs and daemons want: there the ids are kept here, by Linux's rules, and only the
 * process itself, its forks and the programs that they execute see them. Files and other processes do not.
 * Source: credentials(7), setresuid(2). */
#include "process/ids.h"
#include "process/serve.h"

#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

enum { REAL, EFFECTIVE, SAVED, FILESYSTEM };

#define KEEP UINT32_MAX

/* The kept ids, with the process's lock held. */
static struct guest_ids *ids_lock(struct process *p)
{
    struct guest_ids *ids = &p->ids;
    pthread_mutex_lock(&p->lock);
    if (!ids->known) {
        uint32_t *u = ids->uid, *g = ids->gid;
        getresuid(&u[REAL], &u[EFFECTIVE], &u[SAVED]);
        getresgid(&g[REAL], &g[EFFECTIVE], &g[SAVED]);
        u[FILESYSTEM] = u[EFFECTIVE];
        g[FILESYSTEM] = g[EFFECTIVE];
        ids->group_count = -1;
        ids->known = true;
    }
    return ids;
}

static int64_t ids_unlock(struct process *p, int64_t result)
{
    pthread_mutex_unlock(&p->lock);
    return result;
}

static bool holds(const uint32_t *id, uint32_t wanted)
{
    return wanted == KEEP || wanted == id[REAL] || wanted == id[EFFECTIVE] || wanted == id[SAVED];
}

static void put(uint32_t *id, uint32_t wanted)
{
    if (wanted != KEEP)
        *id = wanted;
}

static int64_t set_three(uint32_t *id, bool privileged, uint32_t real, uint32_t effective, uint32_t saved)
{
    if (!privileged && !(holds(id, real) && holds(id, effective) && holds(id, saved)))
        return -EPERM;
    put(&id[REAL], real);
    put(&id[EFFECTIVE], effective);
    put(&id[SAVED], saved);
    id[FILESYSTEM] = id[EFFECTIVE];
    return 0;
}

static int64_t set_one(uint32_t *id, bool privileged, uint32_t wanted)
{
    if (wanted == KEEP)
        return -EINVAL;
    if (privileged)
        return set_three(id, true, wanted, wanted, wanted);
    if (wanted != id[REAL] && wanted != id[SAVED])
        return -EPERM;
    return set_three(id, false, KEEP, wanted, KEEP);
}

/* The saved id follows the effective one when the real one is set or the effective one becomes other than the real. */
static int64_t set_two(uint32_t *id, bool privileged, uint32_t real, uint32_t effective)
{
    uint32_t was = id[REAL];
    bool real_ok = real == KEEP || real == id[REAL] || real == id[EFFECTIVE];
    if (!privileged && !(real_ok && holds(id, effective)))
        return -EPERM;
    put(&id[REAL], real);
    put(&id[EFFECTIVE], effective);
    if (real != KEEP || (effective != KEEP && effective != was))
        id[SAVED] = id[EFFECTIVE];
    id[FILESYSTEM] = id[EFFECTIVE];
    return 0;
}

static int64_t set_filesystem(uint32_t *id, bool privileged, uint32_t wanted)
{
    uint32_t was = id[FILESYSTEM];
    if (wanted != KEEP && (privileged || holds(id, wanted) || wanted == was))
        id[FILESYSTEM] = wanted;
    return was;
}

/* ---- Calls that set ---- */

enum id_kind { USER, GROUP };

static uint32_t *ids_of(struct guest_ids *ids, enum id_kind kind)
{
    return kind == USER ? ids->uid : ids->gid;
}

static bool is_root(const struct guest_ids *ids)
{
    return !ids->uid[EFFECTIVE] || ids->keeps_power;
}

static bool has_root(const uint32_t *id)
{
    return !id[REAL] || !id[EFFECTIVE] || !id[SAVED];
}

/* At the end of a call that sets ids: what becomes of root's power. */
static int64_t ids_changed(struct process *p, bool had_root, int64_t result)
{
    struct guest_ids *ids = &p->ids;
    if (has_root(ids->uid))
        ids->keeps_power = false;
    else if (had_root)
        ids->keeps_power = prctl(PR_GET_KEEPCAPS, 0, 0, 0, 0) > 0;
    return ids_unlock(p, result);
}

static int64_t call_set_one(struct thread *t, long number, enum id_kind kind, const struct sysargs *args)
{
    if (!t->process->config->fake_ids)
        return host_call(t, number, args->a[0]);
    struct guest_ids *ids = ids_lock(t->process);
    bool had_root = has_root(ids->uid);
    int64_t result = set_one(ids_of(ids, kind), is_root(ids), (uint32_t)args->a[0]);
    return ids_changed(t->process, had_root, result);
}

static int64_t call_set_two(struct thread *t, long number, enum id_kind kind, const struct sysargs *args)
{
    if (!t->process->config->fake_ids)
        return host_call(t, number, args->a[0], args->a[1]);
    struct guest_ids *ids = ids_lock(t->process);
    bool had_root = has_root(ids->uid);
    int64_t result = set_two(ids_of(ids, kind), is_root(ids), (uint32_t)args->a[0], (uint32_t)args->a[1]);
    return ids_changed(t->process, had_root, result);
}

static int64_t call_set_three(struct thread *t, long number, enum id_kind kind, const struct sysargs *args)
{
    if (!t->process->config->fake_ids)
        return host_call(t, number, args->a[0], args->a[1], args->a[2]);
    struct guest_ids *ids = ids_lock(t->process);
    bool had_root = has_root(ids->uid);
    int64_t result = set_three(ids_of(ids, kind), is_root(ids), (uint32_t)args->a[0], (uint32_t)args->a[1],
                               (uint32_t)args->a[2]);
    return ids_changed(t->process, had_root, result);
}

static int64_t call_set_filesystem(struct thread *t, long number, enum id_kind kind,
                                   const struct sysargs *args)
{
    if (!t->process->config->fake_ids)
        return host_call(t, number, args->a[0]);
    struct guest_ids *ids = ids_lock(t->process);
    return ids_unlock(t->process, set_filesystem(ids_of(ids, kind), is_root(ids), (uint32_t)args->a[0]));
}

int64_t call_setuid(struct thread *t, const struct sysargs *args)
{
    return call_set_one(t, SYS_setuid, USER, args);
}

int64_t call_setgid(struct thread *t, const struct sysargs *args)
{
    return call_set_one(t, SYS_setgid, GROUP, args);
}

int64_t call_setreuid(struct thread *t, const struct sysargs *args)
{
    return call_set_two(t, SYS_setreuid, USER, args);
}

int64_t call_setregid(struct thread *t, const struct sysargs *args)
{
    return call_set_two(t, SYS_setregid, GROUP, args);
}

int64_t call_setresuid(struct thread *t, const struct sysargs *args)
{
    return call_set_three(t, SYS_setresuid, USER, args);
}

int64_t call_setresgid(struct thread *t, const struct sysargs *args)
{
    return call_set_three(t, SYS_setresgid, GROUP, args);
}

int64_t call_setfsuid(struct thread *t, const struct sysargs *args)
{
    return call_set_filesystem(t, SYS_setfsuid, USER, args);
}

int64_t call_setfsgid(struct thread *t, const struct sysargs *args)
{
    return call_set_filesystem(t, SYS_setfsgid, GROUP, args);
}

int64_t call_setgroups(struct thread *t, const struct sysargs *args)
{
    uint32_t groups[ARRAY_SIZE(t->process->ids.groups)];
    uint64_t count = (uint32_t)args->a[0];
    if (!t->process->config->fake_ids)
        return host_call(t, SYS_setgroups, count, guest_pointer(t, args->a[1], count * sizeof *groups));
    if (count > ARRAY_SIZE(groups))
        return -EINVAL;
    if (count && copy_from_guest(t, groups, args->a[1], count * sizeof *groups))
        return -EFAULT;
    struct guest_ids *ids = ids_lock(t->process);
    if (!is_root(ids))
        return ids_unlock(t->process, -EPERM);
    for (uint64_t i = 0; i < count; i++)
        ids->groups[i] = groups[i];
    ids->group_count = (int)count;
    return ids_unlock(t->process, 0);
}

/* ---- Calls that look ---- */

static int64_t look_one(struct thread *t, long number, enum id_kind kind, int which)
{
    if (!t->process->config->fake_ids)
        return host_call(t, number);
    return ids_unlock(t->process, ids_of(ids_lock(t->process), kind)[which]);
}

static int64_t look_three(struct thread *t, long number, enum id_kind kind, const struct sysargs *args)
{
    if (!t->process->config->fake_ids)
        return host_call(t, number, guest_pointer(t, args->a[0], 4), guest_pointer(t, args->a[1], 4),
                         guest_pointer(t, args->a[2], 4));
    const uint32_t *id = ids_of(ids_lock(t->process), kind);
    int error = 0;
    for (int i = REAL; i <= SAVED && !error; i++)
        error = copy_to_guest(t, args->a[i], &id[i], sizeof id[i]);
    return ids_unlock(t->process, error);
}

int64_t call_getuid(struct thread *t, const struct sysargs *args)
{
    (void)args;
    return look_one(t, SYS_getuid, USER, REAL);
}

int64_t call_geteuid(struct thread *t, const struct sysargs *args)
{
    (void)args;
    return look_one(t, SYS_geteuid, USER, EFFECTIVE);
}

int64_t call_getgid(struct thread *t, const struct sysargs *args)
{
    (void)args;
    return look_one(t, SYS_getgid, GROUP, REAL);
}

int64_t call_getegid(struct thread *t, const struct sysargs *args)
{
    (void)args;
    return look_one(t, SYS_getegid, GROUP, EFFECTIVE);
}

int64_t call_getresuid(struct thread *t, const struct sysargs *args)
{
    return look_three(t, SYS_getresuid, USER, args);
}

int64_t call_getresgid(struct thread *t, const struct sysargs *args)
{
    return look_three(t, SYS_getresgid, GROUP, args);
}

static int64_t kept_groups(const struct thread *t, const struct guest_ids *ids, const struct sysargs *args)
{
    int room = (int)args->a[0];
    if (room < 0 || (room && room < ids->group_count))
        return -EINVAL;
    if (room && copy_to_guest(t, args->a[1], ids->groups, (size_t)ids->group_count * sizeof ids->groups[0]))
        return -EFAULT;
    return ids->group_count;
}

int64_t call_getgroups(struct thread *t, const struct sysargs *args)
{
    if (t->process->config->fake_ids) {
        const struct guest_ids *ids = ids_lock(t->process);
        bool kept = ids->group_count >= 0;
        int64_t result = ids_unlock(t->process, kept ? kept_groups(t, ids, args) : 0);
        if (kept)
            return result;
    }
    return host_call(t, SYS_getgroups, (int)args->a[0],
                     guest_pointer(t, args->a[1], (uint32_t)args->a[0] * (uint64_t)4));
}

/* ---- Across execve() ---- */

/* What a file with set-user-ID or set-group-ID bits gives its process. */
static void apply_file(struct guest_ids *ids, int program)
{
    struct stat st;
    if (fstat(program, &st) || prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) > 0)
        return;
    if (st.st_mode & S_ISUID)
        ids->uid[EFFECTIVE] = st.st_uid;
    if ((st.st_mode & (S_ISGID | S_IXGRP)) == (S_ISGID | S_IXGRP))
        ids->gid[EFFECTIVE] = st.st_gid;
}

void ids_print(struct process *p, int program, char text[IDS_TEXT])
{
    struct guest_ids next = *ids_lock(p);
    ids_unlock(p, 0);
    apply_file(&next, program);
    next.uid[SAVED] = next.uid[FILESYSTEM] = next.uid[EFFECTIVE];
    next.gid[SAVED] = next.gid[FILESYSTEM] = next.gid[EFFECTIVE];
    int length = 0;
    for (int i = REAL; i <= FILESYSTEM; i++)
        length += snprintf(text + length, IDS_TEXT - (size_t)length, "%u,%u,", next.uid[i], next.gid[i]);
    length += snprintf(text + length, IDS_TEXT - (size_t)length, "%d", next.group_count);
    for (int i = 0; i < next.group_count; i++)
        length += snprintf(text + length, IDS_TEXT - (size_t)length, ",%u", next.groups[i]);
}

/* One number of the text and the comma behind it. */
static bool next_number(const char **text, int64_t *value)
{
    char *end;
    *value = strtoll(*text, &end, 10);
    if (end == *text || (*end && *end != ','))
        return false;
    *text = end + (*end == ',');
    return *value >= -1 && *value <= UINT32_MAX;
}

static bool parse_ids(struct guest_ids *ids, const char *text)
{
    int64_t value;
    for (int i = 0; i <= FILESYSTEM; i++) {
        if (!next_number(&text, &value))
            return false;
        ids->uid[i] = (uint32_t)value;
        if (!next_number(&text, &value))
            return false;
        ids->gid[i] = (uint32_t)value;
    }
    if (!next_number(&text, &value) || value > (int64_t)ARRAY_SIZE(ids->groups))
        return false;
    ids->group_count = (int)value;
    for (int i = 0; i < ids->group_count; i++) {
        if (!next_number(&text, &value))
            return false;
        ids->groups[i] = (uint32_t)value;
    }
    return !*text;
}

int ids_inherit(struct process *p, const char *text)
{
    p->ids.known = parse_ids(&p->ids, text);
    return p->ids.known ? 0 : -EINVAL;
}

struct aux_ids ids_at_start(const struct process *p)
{
    const uint32_t *u = p->ids.uid, *g = p->ids.gid;
    if (p->ids.known)
        return (struct aux_ids){u[REAL], u[EFFECTIVE], g[REAL], g[EFFECTIVE]};
    return (struct aux_ids){getuid(), geteuid(), getgid(), getegid()};
}
