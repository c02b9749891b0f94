// Argument checks and errors of the native addon.
// Implements: the shape of a system error in Node's documentation, "errors", class SystemError.
// Left out: the texts are glibc's, which differ from libuv's for a few numbers (ENOMEM).
#include "addon.h"

#include <cctype>
#include <climits>
#include <cmath>
#include <cstring>

namespace splitvm {
namespace {

constexpr double kExact = 9007199254740992.0;  // 2^53: above it a double is no exact integer

std::string Quoted(const char* name) { return std::string("\"") + name + "\""; }

int64_t CheckedInteger(Napi::Value value, const std::string& name, int64_t low, int64_t high) {
  if (!value.IsNumber()) throw Napi::TypeError::New(value.Env(), name + " must be a number");
  double number = value.As<Napi::Number>().DoubleValue();
  bool integer = std::fabs(number) <= kExact && std::trunc(number) == number;  // false for NaN
  if (!integer || static_cast<int64_t>(number) < low || static_cast<int64_t>(number) > high) {
    throw Napi::RangeError::New(value.Env(), name + " must be an integer from " + std::to_string(low) + " to " +
                                                 std::to_string(high));
  }
  return static_cast<int64_t>(number);
}

}  // namespace

int64_t Args::Integer(size_t index, const char* name, int64_t low, int64_t high) const {
  return CheckedInteger(info_[index], Quoted(name), low, high);
}

double Args::Duration(size_t index, const char* name) const {
  Napi::Value value = info_[index];
  if (!value.IsNumber()) throw Napi::TypeError::New(info_.Env(), Quoted(name) + " must be a number");
  double number = value.As<Napi::Number>().DoubleValue();
  if (!(number >= 0 && number <= kExact)) {
    throw Napi::RangeError::New(info_.Env(), Quoted(name) + " must be a number from 0 to 2^53");
  }
  return number;
}

int64_t Args::Size(size_t index, const char* name) const {
  return Integer(index, name, 0, static_cast<int64_t>(kExact));
}

int Args::Descriptor(size_t index, const char* name) const {
  return static_cast<int>(Integer(index, name, 0, INT_MAX));
}

bool Args::Boolean(size_t index, const char* name) const {
  Napi::Value value = info_[index];
  if (!value.IsBoolean()) throw Napi::TypeError::New(info_.Env(), Quoted(name) + " must be a boolean");
  return value.As<Napi::Boolean>().Value();
}

std::string Args::Text(size_t index, const char* name) const {
  Napi::Value value = info_[index];
  if (!value.IsString()) throw Napi::TypeError::New(info_.Env(), Quoted(name) + " must be a string");
  return value.As<Napi::String>().Utf8Value();
}

Bytes Args::View(size_t index, const char* name) const {
  Napi::Value value = info_[index];
  napi_typedarray_type type = napi_float64_array;
  Bytes bytes = {nullptr, 0};
  if (value.IsTypedArray()) {
    void* data = nullptr;
    napi_get_typedarray_info(info_.Env(), value, &type, &bytes.length, &data, nullptr, nullptr);
    bytes.data = static_cast<uint8_t*>(data);
  }
  if (type != napi_uint8_array) throw Napi::TypeError::New(info_.Env(), Quoted(name) + " must be a Uint8Array");
  return bytes;
}

std::vector<int> Args::Integers(size_t index, const char* name, size_t limit, int low, int high) const {
  Napi::Value value = info_[index];
  if (!value.IsArray()) throw Napi::TypeError::New(info_.Env(), Quoted(name) + " must be an array");
  Napi::Array array = value.As<Napi::Array>();
  uint32_t length = array.Length();
  if (length > limit) {
    throw Napi::RangeError::New(info_.Env(), Quoted(name) + " must have at most " + std::to_string(limit) + " members");
  }
  std::vector<int> integers;
  integers.reserve(length);
  for (uint32_t i = 0; i < length; i++) {
    std::string member = Quoted(name) + "[" + std::to_string(i) + "]";
    integers.push_back(static_cast<int>(CheckedInteger(array[i], member, low, high)));
  }
  return integers;
}

Napi::Error SystemError(Napi::Env env, int number, const char* syscall, const std::string& path) {
  const char* name = strerrorname_np(number);
  const char* description = strerrordesc_np(number);
  std::string code = name != nullptr ? name : "E" + std::to_string(number);
  std::string text = description != nullptr ? description : "unknown error";
  text[0] = static_cast<char>(std::tolower(static_cast<unsigned char>(text[0])));
  std::string message = code + ": " + text + ", " + syscall;
  if (!path.empty()) message += " '" + path + "'";
  Napi::Error error = Napi::Error::New(env, message);
  error.Set("code", Napi::String::New(env, code));
  error.Set("errno", Napi::Number::New(env, -number));
  error.Set("syscall", Napi::String::New(env, syscall));
  if (!path.empty()) error.Set("path", Napi::String::New(env, path));
  return error;
}

}  // namespace splitvm
