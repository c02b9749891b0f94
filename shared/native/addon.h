// What the files of the native addon share: argument checks, errors, and one registration function for each noun.
// Node-API only (node-addon-api; no uv.h, no v8.h), so one binary serves every Node version.  There is no static
// state but timer.cc's thread: an instance is loaded into each worker thread.  Policy is not here; it is in the TypeScript that calls this.
#pragma once
#include <napi.h>

#include <cstdint>
#include <string>
#include <vector>

namespace splitvm {

/** The bytes of a typed array, valid during the call that got them. */
struct Bytes {
  uint8_t* data;
  size_t length;
};

/**
 * Checked access to a call's arguments: TypeError for a wrong type, RangeError for a value outside [low, high] or one
 * that is no integer.  Both name the argument.
 */
class Args {
 public:
  explicit Args(const Napi::CallbackInfo& info) : info_(info) {}
  int64_t Integer(size_t index, const char* name, int64_t low, int64_t high) const;
  /** Any finite number in [0, 2^53]: a time or a duration. */
  double Duration(size_t index, const char* name) const;
  /** An offset or a length in bytes: an integer in [0, 2^53]. */
  int64_t Size(size_t index, const char* name) const;
  int Descriptor(size_t index, const char* name) const;
  bool Boolean(size_t index, const char* name) const;
  std::string Text(size_t index, const char* name) const;
  Bytes View(size_t index, const char* name) const;
  /** An array of at most `limit` integers in [low, high]. */
  std::vector<int> Integers(size_t index, const char* name, size_t limit, int low, int high) const;

 private:
  const Napi::CallbackInfo& info_;
};

/** The Error of a failed system call, as Node makes it: message, code, errno (negative), syscall, and path if given. */
Napi::Error SystemError(Napi::Env env, int number, const char* syscall, const std::string& path = "");

/** Throws the SystemError of `errno` when `result` is -1 (or MAP_FAILED); otherwise returns the result. */
template <typename Result>
Result Check(Napi::Env env, Result result, const char* syscall) {
  if (result == (Result)-1) throw SystemError(env, errno, syscall);
  return result;
}

/** Makes `exports[name]` a function over the C++ function `Call`, which may throw Napi::Error. */
template <Napi::Value (*Call)(const Napi::CallbackInfo&)>
void Export(Napi::Object exports, const char* name) {
  exports.Set(name, Napi::Function::New<Call>(exports.Env(), name));
}

/** The same over plain Node-API, for the calls whose cost counts.  They throw through napi_throw, never by C++. */
void ExportWarm(Napi::Object exports, const char* name, napi_callback call);

void RegisterMemory(Napi::Object exports);
void RegisterFutex(Napi::Object exports);
void RegisterSocket(Napi::Object exports);
void RegisterThread(Napi::Object exports);
void RegisterLocked(Napi::Object exports);
void RegisterTimer(Napi::Object exports);
void RegisterLock(Napi::Object exports);
void RegisterPty(Napi::Object exports);

}  // namespace splitvm
