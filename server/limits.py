"""The settings in the terms of the rules: how long, how often, how many."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from matching.asking import AskingLimits
from matching.audience import AudienceLimits
from matching.chances import AnswerDelay, Priors
from matching.ports import LateYes
from matching.request_rules import Cooldown, RequestLimits, WeeklyCap
from matching.waves import AdaptiveWaves, FixedWaves, WavePolicy, policy_named
from server.settings import Settings
from signaling.call_rules import CallLimits


@dataclass(frozen=True, slots=True)
class Limits:
    """What each part of a node is told of the settings."""

    request: RequestLimits
    asking: AskingLimits
    call: CallLimits
    waves: WavePolicy
    delay: AnswerDelay
    priors: Priors

    @classmethod
    def of(cls, settings: Settings) -> Limits:
        request, delay = _request(settings), AnswerDelay(settings.answer_median_s, settings.answer_sigma)
        return cls(
            request=request,
            asking=_asking(settings, request),
            call=CallLimits(connecting=_seconds(settings.connecting_s), grace=_seconds(settings.grace_s)),
            waves=_waves(settings, delay),
            delay=delay,
            priors=Priors(settings.chance_hot, settings.chance_cold, settings.chance_idle, settings.chance_weight),
        )


def _seconds(value: float) -> timedelta:
    return timedelta(seconds=value)


def _request(settings: Settings) -> RequestLimits:
    growth, most = settings.cooldown_growth, _seconds(settings.cooldown_most_s)
    return RequestLimits(
        deadline=_seconds(settings.request_deadline_s),
        offer=_seconds(settings.offer_s),
        delivery=_seconds(settings.delivery_s),
        cooldown=Cooldown(_seconds(settings.cooldown_s), growth, most),
        weekly=WeeklyCap(settings.weekly_rings),
    )


def _asking(settings: Settings, request: RequestLimits) -> AskingLimits:
    return AskingLimits(
        request,
        wrap_up=_seconds(settings.wrap_up_s),
        audience=AudienceLimits(
            next_language=_seconds(settings.next_language_s),
            public_after_group=_seconds(settings.group_first_s),
            first_person=_seconds(settings.same_person_s),
        ),
        late_yes=LateYes(standby=_seconds(settings.connecting_s), hot=_seconds(settings.keep_hot_s)),
        callback_life=_seconds(settings.callback_s),
        callback_reserved=_seconds(settings.callback_reserved_s),
    )


def _waves(settings: Settings, delay: AnswerDelay) -> WavePolicy:
    return policy_named(
        settings.waves,
        fixed=FixedWaves(settings.wave_size, _seconds(settings.wave_interval_s)),
        adaptive=AdaptiveWaves(
            delay=delay,
            horizon_s=settings.wave_horizon_s,
            first_target=settings.wave_first_target,
            last_target=settings.wave_last_target,
            grows_s=settings.wave_grows_s,
        ),
    )
