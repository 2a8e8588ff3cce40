package app_test

// childEnv makes the test binary the service itself, so that it can be killed.
const childEnv = "FIXDESK_TEST_CHILD"

func child() {}
