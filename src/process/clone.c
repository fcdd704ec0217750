/* New threads and processes. Three kinds, by flags:
 *
 *   CLONE_THREAD       a thread of this process: a host thread made by libc, which gives it what monitor code needs
 *   CLONE_VM           a process in this memory until it calls execve() or exits, with CLONE_VFORK its parent waits
 *   without CLONE_VM   a process of its own: fork(), or the host's clone() for what fork() cannot ask for
 *
 * A process that shares its parent's signal actions (CLONE_SIGHAND without CLONE_THREAD) is refused: EINVAL. */
#include "process/thread.h"

#include "base/util.h"
#include "cpu/riscv/code.h"
#include "host/sanitize.h"
#include "process/serve.h"
#include "process/signal.h"
#include "process/uaccess.h"

#include <linux/sched.h>
#include <sched.h>
#include <semaphore.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* The monitor's own stack of a guest thread. */
#define STACK_SIZE ((size_t)256 << 10)

#define CLONE_NAMESPACES                                                                          \
    (CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER | CLONE_NEWPID | \
     CLONE_NEWNET | CLONE_NEWTIME)

/* What the monitor does itself; the host's kernel is not to know of it. */
#define CLONE_OURS \
    (CLONE_SETTLS | CLONE_PARENT_SETTID | CLONE_CHILD_SETTID | CLONE_CHILD_CLEARTID | CLONE_CLEAR_SIGHAND)

struct request {
    uint64_t flags; /* without the exit signal */
    uint64_t exit_signal;
    uint64_t stack; /* initial stack pointer, 0: the parent's */
    uint64_t tls, parent_tid, child_tid, pidfd;
    uint64_t set_tid, set_tid_size, cgroup; /* clone3 alone */
};

/* ---- What all children share ---- */

static void set_registers(struct hart *hart, const struct request *r)
{
    if (r->stack)
        hart->x[2] = r->stack;
    if (r->flags & CLONE_SETTLS)
        hart->x[4] = r->tls;
}

/* For a child that starts with a thread object of its own: it comes out of the system call with 0. */
static void start_registers(struct thread *child, const struct request *r)
{
    set_registers(&child->hart, r);
    child->hart.x[10] = 0;
    child->hart.pc += 4;
    child->clear_child_tid = r->flags & CLONE_CHILD_CLEARTID ? r->child_tid : 0;
}

/* As Linux, a bad address passes in silence. */
static void store_int(const struct thread *t, uint64_t address, int value)
{
    (void)copy_to_guest(t, address, &value, sizeof(value));
}

/* A child in the same memory tells its id to both sides. */
static void store_tids(const struct thread *child, const struct request *r)
{
    if (r->flags & CLONE_PARENT_SETTID)
        store_int(child, r->parent_tid, child->tid);
    if (r->flags & CLONE_CHILD_SETTID)
        store_int(child, r->child_tid, child->tid);
}

/* A copy of the calling thread for a child in the same memory. */
static struct thread *copy_thread(struct thread *t, struct process *p, const struct request *r)
{
    struct thread *child = thread_new(p, t, t->sigmask);
    if (child)
        start_registers(child, r);
    return child;
}

/* ---- Host threads ---- */

/* How a new host thread tells its maker of the child's id or of -errno. Lives on the maker's stack until then. */
struct birth {
    sem_t told;
    int64_t result;
};

static void birth_tell(struct birth *birth, int64_t result)
{
    birth->result = result;
    sem_post(&birth->told);
}

/* Starts main(argument), which tells `birth`, and returns what it tells. */
static int64_t start_host_thread(void *(*main)(void *), void *argument, struct birth *birth)
{
    pthread_attr_t attr;
    pthread_t ignored;
    sem_init(&birth->told, 0, 0);
    pthread_attr_init(&attr);
    pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
    pthread_attr_setstacksize(&attr, MAX(STACK_SIZE, (size_t)sysconf(_SC_THREAD_STACK_MIN) + STACK_SIZE / 2));
    int error = pthread_create(&ignored, &attr, main, argument);
    pthread_attr_destroy(&attr);
    int64_t result = -EAGAIN; /* whatever the host lacks, that is the guest's word for it */
    if (!error) {
        while (sem_wait(&birth->told))
            ;
        result = birth->result;
    }
    sem_destroy(&birth->told);
    return result;
}

/* ---- Threads ---- */

struct thread_start {
    struct thread *child;
    const struct request *request;
    struct birth birth;
};

/* What libc's threads always share, the guest need not. */
static int64_t unshare_unwanted(const struct request *r)
{
    uint64_t apart = ~r->flags & (CLONE_FS | CLONE_FILES);
    return apart ? host_call_now(SYS_unshare, apart) : 0;
}

/* `start` is gone when its maker has been told. */
static bool be_born(struct thread_start *start, jmp_buf *end)
{
    struct thread *t = start->child;
    int64_t error = unshare_unwanted(start->request);
    if (!error) {
        thread_adopt(t);
        t->end = end;
        store_tids(t, start->request);
    }
    birth_tell(&start->birth, error ? error : t->tid);
    return !error;
}

static void *thread_main(void *start)
{
    jmp_buf end;
    if (setjmp(end) == 0 && be_born(start, &end)) {
        signal_set_mask(current, current->sigmask);
        thread_run(current);
    }
    return NULL;
}

static int64_t clone_thread(struct thread *t, const struct request *r)
{
    if ((r->flags & (CLONE_NAMESPACES | CLONE_VFORK | CLONE_PIDFD | CLONE_INTO_CGROUP)) || r->set_tid_size)
        return -EINVAL;
    if (t->process->vforked)
        return -EAGAIN; /* its libc is its parent's */
    struct thread_start start = {.child = copy_thread(t, t->process, r), .request = r};
    if (!start.child)
        return -EAGAIN;
    int64_t result = start_host_thread(thread_main, &start, &start.birth);
    if (result < 0)
        thread_free(start.child);
    return result;
}

/* ---- Processes in the same memory ---- */

/* The child runs on the maker's thread-local data (`current` too), for which the maker must stand still meanwhile: the
 * calling thread itself for vfork, else a host thread that is made for this alone and waits in its place. */
struct sharing {
    struct process *process, *parent; /* the child's own object, owned; its parent's, borrowed */
    struct thread *child;             /* owned */
    void *stack;                      /* owned: the host's, for the child */
    struct request request;
    int pidfd;
    struct birth *birth; /* NULL for vfork */
};

/* mm and code stay the parent's. */
static struct process *copy_process(struct process *p)
{
    struct process *copy = malloc(sizeof(*copy));
    if (!copy)
        return NULL;
    pthread_mutex_lock(&p->lock);
    pthread_mutex_lock(&p->sighand.lock);
    memcpy(copy, p, sizeof(*copy));
    pthread_mutex_unlock(&p->sighand.lock);
    pthread_mutex_unlock(&p->lock);
    pthread_mutex_init(&copy->lock, NULL);
    pthread_mutex_init(&copy->sighand.lock, NULL);
    copy->sighand.held.set = 0;
    copy->threads = NULL;
    copy->thread_count = 0;
    copy->vforked = true;
    return copy;
}

static void sharing_release(struct sharing *s)
{
    if (s->child)
        thread_free(s->child);
    if (s->stack != MAP_FAILED)
        munmap(s->stack, STACK_SIZE);
    free(s->process);
}

static int sharing_init(struct sharing *s, struct thread *t, const struct request *r)
{
    const int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK;
    *s = (struct sharing){
        .process = copy_process(t->process), .parent = t->process, .request = *r, .pidfd = -1};
    s->stack = mmap(NULL, STACK_SIZE, PROT_READ | PROT_WRITE, flags, -1, 0);
    if (s->process)
        s->child = copy_thread(t, s->process, r);
    if (s->child && s->stack != MAP_FAILED) {
        if (r->flags & CLONE_VFORK)
            s->child->altstack = t->altstack;
        return 0;
    }
    sharing_release(s);
    return -ENOMEM;
}

static int sharing_main(void *argument)
{
    struct sharing *s = argument;
    struct thread *t = s->child;
    thread_adopt(t);
    store_tids(t, &s->request);
    if (s->request.flags & CLONE_PIDFD)
        store_int(t, s->request.pidfd, s->pidfd);
    if (s->request.flags & CLONE_CLEAR_SIGHAND)
        signal_clear_handlers(t->process);
    if (s->birth)
        birth_tell(s->birth, t->tid);
    signal_set_mask(t, t->sigmask);
    thread_run(t);
}

/* Runs the child until it has left this memory by execve() or its end. Returns its id or -errno. */
static int64_t sharing_run(struct sharing *s)
{
    struct thread *self = current;
    uint64_t flags = (s->request.flags & ~(uint64_t)CLONE_OURS) | CLONE_VFORK | s->request.exit_signal;
    struct host_stack ours =
        host_sanitize_switch((struct host_stack){.start = s->stack, .size = STACK_SIZE}, true);
    int pid = host_sanitize_clone(sharing_main, (char *)s->stack + STACK_SIZE, (int)flags, s, &s->pidfd);
    host_sanitize_switch(ours, false);
    if (pid < 0)
        return pid;
    current = self;
    process_count(s->parent, &s->child->hart);
    s->parent->syscalls += s->child->syscalls;
    signal_block_guest();
    if (s->child->clear_child_tid)
        thread_clear_tid(s->child, s->child->clear_child_tid);
    return pid;
}

static void *sharing_thread(void *argument)
{
    struct sharing *s = argument;
    struct birth *birth = s->birth;
    int64_t result = sharing_run(s);
    signal_block_all();
    if (result < 0) {
        birth_tell(birth, result);
    } else {
        sharing_release(s);
        free(s);
    }
    return NULL;
}

static int64_t clone_vfork(struct thread *t, const struct request *r)
{
    struct sharing s;
    int64_t result = sharing_init(&s, t, r);
    if (result)
        return result;
    result = sharing_run(&s);
    sharing_release(&s);
    return result;
}

static int64_t clone_beside(struct thread *t, const struct request *r)
{
    struct birth birth;
    if (t->process->vforked)
        return -EAGAIN;
    struct sharing *s = malloc(sizeof(*s));
    if (!s)
        return -ENOMEM;
    int64_t result = sharing_init(s, t, r);
    if (result == 0) {
        s->birth = &birth;
        result = start_host_thread(sharing_thread, s, &birth);
        if (result > 0)
            return result; /* the host thread has taken `s` */
        sharing_release(s);
    }
    free(s);
    return result;
}

static int64_t clone_sharing(struct thread *t, const struct request *r)
{
    if (r->set_tid_size)
        return -EINVAL;
    if (r->flags & CLONE_INTO_CGROUP)
        return -EOPNOTSUPP;
    return r->flags & CLONE_VFORK ? clone_vfork(t, r) : clone_beside(t, r);
}

/* ---- fork ---- */

/* No lock of the monitor's may be held by another thread when memory is copied: the child would never get it. Order as
 * everywhere: process, signals, code, mm. */
static void fork_prepare(struct process *p)
{
    pthread_mutex_lock(&p->lock);
    pthread_mutex_lock(&p->sighand.lock);
    code_fork_prepare(p->code);
    mm_fork_prepare(p->mm);
}

static void fork_done(struct process *p, bool child)
{
    mm_fork_done(p->mm);
    code_fork_done(p->code, child);
    pthread_mutex_unlock(&p->sighand.lock);
    pthread_mutex_unlock(&p->lock);
}

/* Of the threads only the calling one exists in the child. */
static void drop_other_threads(struct process *p, struct thread *t)
{
    struct thread *next;
    for (struct thread *other = p->threads; other; other = next) {
        next = other->next;
        if (other != t)
            thread_free(other);
    }
    p->threads = t;
    p->thread_count = 1;
    t->next = NULL;
}

static int64_t fork_child(struct thread *t, const struct request *r)
{
    struct process *p = t->process;
    drop_other_threads(p, t);
    p->forked = true;
    p->vforked = false;
    t->tid = (int)host_call_now(SYS_gettid);
    t->end = NULL;
    t->robust_list = 0;
    t->clear_child_tid = r->flags & CLONE_CHILD_CLEARTID ? r->child_tid : 0;
    signal_fork_child(t);
    engine_fork_child(&t->hart);
    if (r->flags & CLONE_CLEAR_SIGHAND)
        signal_clear_handlers(p);
    set_registers(&t->hart, r);
    signal_block_guest();
    if (r->flags & CLONE_CHILD_SETTID)
        store_int(t, r->child_tid, t->tid);
    return 0;
}

/* Is libc's fork() enough? Better it is: it brings libc's locks (malloc's) through when there are other threads. */
static bool is_plain_fork(const struct request *r)
{
    return !(r->flags & ~(uint64_t)CLONE_OURS) && r->exit_signal == SIGCHLD && !r->set_tid_size;
}

/* A child that shares files, gets namespaces, sends another signal and so on. If another thread is inside malloc at
 * this moment, the child's next malloc waits for ever; the monitor calls it when it makes code, threads and
 * processes. */
static int64_t host_clone(const struct thread *t, const struct request *r, int *pidfd)
{
    uint64_t flags = r->flags & ~(uint64_t)CLONE_OURS;
    if (!r->set_tid_size && !(flags & (CLONE_INTO_CGROUP | CLONE_NEWTIME)))
        return host_call_now(SYS_clone, flags | r->exit_signal, 0, pidfd);
    const struct clone_args args = {
        .flags = flags,
        .pidfd = (uint64_t)pidfd,
        .exit_signal = r->exit_signal,
        .set_tid = (uint64_t)guest_pointer(t, r->set_tid, r->set_tid_size * sizeof(int)),
        .set_tid_size = r->set_tid_size,
        .cgroup = r->cgroup,
    };
    return host_call_now(SYS_clone3, &args, sizeof(args));
}

static int64_t plain_fork(void)
{
    pid_t pid = fork();
    return pid < 0 ? -errno : pid;
}

static int64_t clone_fork(struct thread *t, const struct request *r)
{
    struct process *p = t->process;
    int pidfd = -1;
    fork_prepare(p);
    int64_t pid = is_plain_fork(r) ? plain_fork() : host_clone(t, r, &pidfd);
    fork_done(p, pid == 0);
    if (pid == 0)
        return fork_child(t, r);
    if (pid < 0)
        return pid;
    signal_block_guest();
    if (r->flags & CLONE_PARENT_SETTID)
        store_int(t, r->parent_tid, (int)pid);
    if (r->flags & CLONE_PIDFD)
        store_int(t, r->pidfd, pidfd);
    return pid;
}

/* ---- System calls ---- */

/* The rules of Linux that the host's kernel would not see. */
static bool flags_ok(uint64_t flags)
{
    if ((flags & CLONE_THREAD) && !(flags & CLONE_SIGHAND))
        return false;
    if ((flags & CLONE_SIGHAND) && (!(flags & CLONE_VM) || (flags & CLONE_CLEAR_SIGHAND)))
        return false;
    return (flags & CLONE_THREAD) || !(flags & CLONE_SIGHAND); /* of a process alone: see above */
}

static int64_t clone_one(struct thread *t, const struct request *r)
{
    if (r->flags & CLONE_THREAD)
        return clone_thread(t, r);
    return r->flags & CLONE_VM ? clone_sharing(t, r) : clone_fork(t, r);
}

/* The monitor's own thread counts for the limits that there are, and must not be the one too many. */
static int64_t clone_or_make_room(struct thread *t, const struct request *r)
{
    int64_t result = clone_one(t, r);
    if (result != -EAGAIN)
        return result;
    process_pause_own_thread(t->process);
    result = clone_one(t, r);
    if (result) /* a child made by fork() has paused nothing */
        process_resume_own_thread(t->process);
    return result;
}

static int64_t serve_clone(struct thread *t, const struct request *r)
{
    int existing;
    if (!flags_ok(r->flags))
        return -EINVAL;
    if ((r->flags & CLONE_PIDFD) && (copy_from_guest(t, &existing, r->pidfd, sizeof(existing)) ||
                                     copy_to_guest(t, r->pidfd, &existing, sizeof(existing))))
        return -EFAULT;
    signal_block_all();
    int64_t result;
    if (atomic_load(&t->hart.pending))
        result = -HOST_ERESTART; /* a signal comes before the call: the child must not see it */
    else
        result = clone_or_make_room(t, r);
    signal_set_mask(t, t->sigmask);
    return result;
}

int64_t sys_clone(struct thread *t, uint64_t flags, uint64_t stack, uint64_t parent_tid, uint64_t tls,
                  uint64_t child_tid)
{
    const struct request r = {
        .flags = (uint32_t)flags & ~(uint64_t)(CSIGNAL | CLONE_DETACHED),
        .exit_signal = flags & CSIGNAL,
        .stack = stack,
        .tls = tls,
        .parent_tid = parent_tid,
        .child_tid = child_tid,
        .pidfd = parent_tid,
    };
    if ((flags & CLONE_PIDFD) && (flags & (CLONE_DETACHED | CLONE_PARENT_SETTID)))
        return -EINVAL;
    return serve_clone(t, &r);
}

/* copy_struct_from_user(): a longer structure than ours must have zeros where we know nothing. */
static int copy_clone_args(const struct thread *t, struct clone_args *args, uint64_t gva, uint64_t size)
{
    uint8_t rest[MM_PAGE];
    uint64_t known = MIN(size, sizeof(*args));
    if (size < CLONE_ARGS_SIZE_VER0)
        return -EINVAL;
    if (size > sizeof(rest))
        return -E2BIG;
    memset(args, 0, sizeof(*args));
    if (copy_from_guest(t, rest, gva, size))
        return -EFAULT;
    memcpy(args, rest, known);
    for (uint64_t i = known; i < size; i++)
        if (rest[i])
            return -E2BIG;
    return 0;
}

static bool clone_args_ok(const struct clone_args *args)
{
    const uint64_t known = 0xffffffff & ~(uint64_t)(CLONE_DETACHED | (CSIGNAL & ~CLONE_NEWTIME));
    if (args->flags & ~(known | CLONE_CLEAR_SIGHAND | CLONE_INTO_CGROUP))
        return false;
    if (args->exit_signal > GUEST_NSIG ||
        ((args->flags & (CLONE_THREAD | CLONE_PARENT)) && args->exit_signal))
        return false;
    return !args->stack == !args->stack_size && !args->set_tid == !args->set_tid_size;
}

int64_t sys_clone3(struct thread *t, uint64_t gva, uint64_t size)
{
    struct clone_args args;
    int error = copy_clone_args(t, &args, gva, size);
    if (error)
        return error;
    if (!clone_args_ok(&args))
        return -EINVAL;
    const struct request r = {
        .flags = args.flags,
        .exit_signal = args.exit_signal,
        .stack = args.stack + args.stack_size,
        .tls = args.tls,
        .parent_tid = args.parent_tid,
        .child_tid = args.child_tid,
        .pidfd = args.pidfd,
        .set_tid = args.set_tid,
        .set_tid_size = args.set_tid_size,
        .cgroup = args.cgroup,
    };
    return serve_clone(t, &r);
}
