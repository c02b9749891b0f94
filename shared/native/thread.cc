// The calling thread: its CPU, affinity, name and death signal; the monotonic clock; timers and events as descriptors.
// Sources: sched_setaffinity(2), prctl(2), clock_gettime(2), timerfd_create(2), eventfd(2).
// Left out: reading and writing the descriptors, which Node's fs does.
#include "addon.h"

#include <sched.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include <cerrno>
#include <cmath>
#include <csignal>

namespace splitvm {
namespace {

constexpr int kMaxCpus = 8192;  // the kernel's NR_CPUS at its largest
constexpr int64_t kSecond = 1000000000;

struct CpuSet {
  cpu_set_t words[kMaxCpus / CPU_SETSIZE];
};

napi_value GetCpu(napi_env env, napi_callback_info) {
  napi_value result;
  napi_create_int32(env, sched_getcpu(), &result);
  return result;
}

napi_value ClockMonotonic(napi_env env, napi_callback_info) {
  timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  napi_value result;
  napi_create_double(env, static_cast<double>(time.tv_sec * kSecond + time.tv_nsec), &result);
  return result;
}

Napi::Value SetAffinity(const Napi::CallbackInfo& info) {
  CpuSet set = {};
  for (int cpu : Args(info).Integers(0, "cpus", kMaxCpus, 0, kMaxCpus - 1)) CPU_SET_S(cpu, sizeof set, set.words);
  Check(info.Env(), sched_setaffinity(0, sizeof set, set.words), "sched_setaffinity");
  return info.Env().Undefined();
}

Napi::Value GetAffinity(const Napi::CallbackInfo& info) {
  CpuSet set = {};
  Check(info.Env(), sched_getaffinity(0, sizeof set, set.words), "sched_getaffinity");
  Napi::Array cpus = Napi::Array::New(info.Env());
  uint32_t count = 0;
  for (int cpu = 0; cpu < kMaxCpus; cpu++) {
    if (CPU_ISSET_S(cpu, sizeof set, set.words)) cpus.Set(count++, cpu);
  }
  return cpus;
}

Napi::Value ThreadId(const Napi::CallbackInfo& info) { return Napi::Number::New(info.Env(), gettid()); }

Napi::Value SetThreadName(const Napi::CallbackInfo& info) {
  std::string name = Args(info).Text(0, "name");
  Check(info.Env(), prctl(PR_SET_NAME, name.c_str()), "prctl");
  return info.Env().Undefined();
}

Napi::Value ParentDeathSignal(const Napi::CallbackInfo& info) {
  auto signal = static_cast<unsigned long>(Args(info).Integer(0, "signal", 0, NSIG - 1));
  Check(info.Env(), prctl(PR_SET_PDEATHSIG, signal), "prctl");
  return Napi::Number::New(info.Env(), getppid());  // after the prctl, so that the caller sees a parent already dead
}

Napi::Value Eventfd(const Napi::CallbackInfo& info) {
  Args args(info);
  auto initial = static_cast<unsigned>(args.Integer(0, "initial", 0, UINT32_MAX));
  int flags = static_cast<int>(args.Integer(1, "flags", 0, INT32_MAX));
  return Napi::Number::New(info.Env(), Check(info.Env(), eventfd(initial, flags | EFD_CLOEXEC), "eventfd"));
}

Napi::Value TimerfdCreate(const Napi::CallbackInfo& info) {
  int fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
  return Napi::Number::New(info.Env(), Check(info.Env(), fd, "timerfd_create"));
}

timespec Timespec(double ns) {
  auto whole = static_cast<int64_t>(std::ceil(ns));  // up: a value of 0 would disarm the timer
  return {static_cast<time_t>(whole / kSecond), static_cast<long>(whole % kSecond)};
}

Napi::Value TimerfdSettime(const Napi::CallbackInfo& info) {
  Args args(info);
  int fd = args.Descriptor(0, "fd");
  itimerspec timer = {};
  timer.it_value = Timespec(args.Duration(1, "valueNs"));
  timer.it_interval = Timespec(args.Duration(2, "intervalNs"));
  int flags = args.Boolean(3, "absolute") ? TFD_TIMER_ABSTIME : 0;
  Check(info.Env(), timerfd_settime(fd, flags, &timer, nullptr), "timerfd_settime");
  return info.Env().Undefined();
}

}  // namespace

void RegisterThread(Napi::Object exports) {
  ExportWarm(exports, "getCpu", GetCpu);
  ExportWarm(exports, "clockMonotonic", ClockMonotonic);
  Export<SetAffinity>(exports, "setAffinity");
  Export<GetAffinity>(exports, "getAffinity");
  Export<ThreadId>(exports, "threadId");
  Export<SetThreadName>(exports, "setThreadName");
  Export<ParentDeathSignal>(exports, "parentDeathSignal");
  Export<Eventfd>(exports, "eventfd");
  Export<TimerfdCreate>(exports, "timerfdCreate");
  Export<TimerfdSettime>(exports, "timerfdSettime");
}

}  // namespace splitvm
