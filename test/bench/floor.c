/*
 * The floor of the exit benchmarks: two processes hand a word back and forth through a shared page, natively.
 * Implements: the "native floor" rows of architecture.md, section 11; futex(2) without the private flag.
 * Leaves out: any work on either side. A round trip includes one reading of the clock (some 20 to 50 ns).
 *
 *   floor --mode spin|futex --cpu-a N --cpu-b N --count N [--gap-ns N] [--busy CPU]
 *
 * Prints one line of JSON: the round trips as A sees them, in nanoseconds.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <getopt.h>
#include <linux/futex.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define MAX_COUNT 10000000 /* samples kept: 80 MB */
#define MAX_WARM_UP 10000
#define MAX_GAP_NS 1000000000

/* Each word on cache lines of its own: processors fetch lines in pairs. */
struct page {
	_Alignas(128) uint32_t request;
	_Alignas(128) uint32_t answer;
	_Alignas(128) uint32_t busy; /* 1 once the busy process runs */
};

static void die(const char *what)
{
	fprintf(stderr, "floor: %s: %s\n", what, strerror(errno));
	exit(1);
}

static void usage(const char *why)
{
	fprintf(stderr, "floor: %s\nusage: floor --mode spin|futex --cpu-a N --cpu-b N --count N [--gap-ns N] [--busy CPU]\n",
		why);
	exit(2);
}

static uint64_t now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void pause_cpu(void)
{
#if defined(__x86_64__)
	__builtin_ia32_pause();
#elif defined(__aarch64__)
	__asm__ volatile("isb");
#endif
}

/* Publishes `value`; the waiter in futex mode always sleeps, so it is always woken. */
static void hand_over(uint32_t *word, uint32_t value, int spin)
{
	__atomic_store_n(word, value, __ATOMIC_SEQ_CST);
	if (!spin) syscall(SYS_futex, word, FUTEX_WAKE, 1, NULL, NULL, 0);
}

/* Returns once *word is no longer `seen`. */
static void await(uint32_t *word, uint32_t seen, int spin)
{
	const struct timespec limit = {1, 0};
	while (__atomic_load_n(word, __ATOMIC_SEQ_CST) == seen) {
		if (spin) pause_cpu();
		else syscall(SYS_futex, word, FUTEX_WAIT, seen, &limit, NULL, 0);
	}
}

static void pin(int cpu)
{
	cpu_set_t set;
	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	if (sched_setaffinity(0, sizeof set, &set) != 0) {
		fprintf(stderr, "floor: cannot run on CPU %d: %s\n", cpu, strerror(errno));
		exit(1);
	}
}

static pid_t children[2]; /* the server, the busy process; 0 where there is none */
static pid_t parent;

static void on_end(void (*handler)(int))
{
	static const int signals[] = {SIGCHLD, SIGTERM, SIGINT, SIGHUP};
	for (size_t i = 0; i < sizeof signals / sizeof *signals; i++) signal(signals[i], handler);
}

/* Ends the children and takes their status, so that nothing is left; safe in a signal handler, and at exit. */
static void stop_children(void)
{
	if (getpid() != parent) return;
	on_end(SIG_DFL);
	for (int i = 0; i < 2; i++) {
		if (children[i] == 0) continue;
		kill(children[i], SIGKILL);
		while (waitpid(children[i], NULL, 0) < 0 && errno == EINTR) {}
		children[i] = 0;
	}
}

/* A child ended while it was still needed, or somebody ends us. */
static void ended(int signal)
{
	static const char text[] = "floor: a child process ended early\n";
	if (getpid() == parent && signal == SIGCHLD && write(STDERR_FILENO, text, sizeof text - 1) < 0) _exit(1);
	stop_children();
	_exit(1);
}

/* Starts a child that ends with its parent, however the parent ends; 0 in the child. */
static pid_t start(int which, int cpu)
{
	sigset_t all, before;
	sigfillset(&all);
	sigprocmask(SIG_BLOCK, &all, &before); /* until the child is noted, or has its own handlers */
	pid_t child = fork();
	if (child < 0) die("fork");
	if (child > 0) children[which] = child;
	else on_end(SIG_DFL);
	sigprocmask(SIG_SETMASK, &before, NULL);
	if (child > 0) return child;
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0) die("prctl");
	if (getppid() != parent) exit(1); /* it ended before the prctl */
	pin(cpu);
	return 0;
}

static int compare(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
	return (x > y) - (x < y);
}

static long number(const char *text, const char *option, long low, long high)
{
	char *end;
	errno = 0;
	long value = strtol(text, &end, 10);
	if (errno != 0 || end == text || *end != '\0' || value < low || value > high) {
		fprintf(stderr, "floor: --%s must be a number from %ld to %ld, not \"%s\"\n", option, low, high, text);
		exit(2);
	}
	return value;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{"mode", required_argument, NULL, 'm'}, {"cpu-a", required_argument, NULL, 'a'},
		{"cpu-b", required_argument, NULL, 'b'}, {"count", required_argument, NULL, 'n'},
		{"gap-ns", required_argument, NULL, 'g'}, {"busy", required_argument, NULL, 'u'}, {0}};
	const char *mode = NULL;
	long cpu_a = -1, cpu_b = -1, busy = -1, count = 0, gap = 0;
	int c, spin;
	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (c) {
		case 'm': mode = optarg; break;
		case 'a': cpu_a = number(optarg, "cpu-a", 0, CPU_SETSIZE - 1); break;
		case 'b': cpu_b = number(optarg, "cpu-b", 0, CPU_SETSIZE - 1); break;
		case 'n': count = number(optarg, "count", 1, MAX_COUNT); break;
		case 'g': gap = number(optarg, "gap-ns", 0, MAX_GAP_NS); break;
		case 'u': busy = number(optarg, "busy", 0, CPU_SETSIZE - 1); break;
		default: usage("unknown option");
		}
	}
	if (optind != argc || mode == NULL || cpu_a < 0 || cpu_b < 0 || count == 0) usage("an argument is missing or unknown");
	spin = strcmp(mode, "spin") == 0;
	if (!spin && strcmp(mode, "futex") != 0) usage("--mode must be spin or futex");
	if (spin && cpu_a == cpu_b) usage("spinning needs two CPUs: each hand-over would cost a time slice");

	struct page *page = mmap(NULL, sizeof *page, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (page == MAP_FAILED) die("mmap");
	uint64_t *samples = malloc((size_t)count * sizeof *samples);
	if (samples == NULL) die("malloc");
	memset(samples, 0, (size_t)count * sizeof *samples); /* no page fault while measuring */

	parent = getpid();
	atexit(stop_children);
	on_end(ended);
	if (start(0, (int)cpu_b) == 0) {
		for (uint32_t seen = 0;; seen++) {
			await(&page->request, seen, spin);
			hand_over(&page->answer, seen + 1, spin);
		}
	}
	if (busy >= 0 && start(1, (int)busy) == 0) {
		hand_over(&page->busy, 1, 0);
		for (volatile uint32_t work = 0;; work++) {}
	}
	if (busy >= 0) await(&page->busy, 0, 0); /* still unpinned, so that it gets a CPU */
	pin((int)cpu_a);

	long warm_up = count / 10 + 100 < MAX_WARM_UP ? count / 10 + 100 : MAX_WARM_UP;
	uint32_t seen = 0;
	for (long i = -warm_up; i < count; i++, seen++) {
		if (gap > 0) {
			for (uint64_t until = now() + (uint64_t)gap; now() < until;) {}
		}
		uint64_t begin = now();
		hand_over(&page->request, seen + 1, spin);
		await(&page->answer, seen, spin);
		uint64_t took = now() - begin;
		if (i >= 0) samples[i] = took;
	}
	stop_children();

	double sum = 0;
	for (long i = 0; i < count; i++) sum += (double)samples[i];
	qsort(samples, (size_t)count, sizeof *samples, compare);
	printf("{\"mode\":\"%s\",\"count\":%ld,\"mean\":%.1f,", mode, count, sum / (double)count);
	printf("\"p50\":%llu,\"p90\":%llu,", (unsigned long long)samples[count * 50 / 100],
	       (unsigned long long)samples[count * 90 / 100]);
	printf("\"p99\":%llu,\"max\":%llu}\n", (unsigned long long)samples[count * 99 / 100],
	       (unsigned long long)samples[count - 1]);
	return 0;
}
