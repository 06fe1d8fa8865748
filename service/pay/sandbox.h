/* sandbox.h - the channel that snapup-sandbox plays, for demo and tests; off in production. */
#pragma once

#include "pay/channel.h"

extern const struct channel channel_sandbox;
