"""The three networks of the paper as Keras models: conversion network, WaveNet, image GAN."""
