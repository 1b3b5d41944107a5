"""Triggers: translate, call one service, translate back."""
